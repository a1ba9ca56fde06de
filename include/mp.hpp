/* SPDX-License-Identifier: MIT */
/*
 * mp.hpp - libmp for C++17: the C API with owners, values and results.
 *
 *	c++ -std=c++17 program.cc $(pkg-config --cflags --libs libmp)
 *
 * The class mp::queue is an mp_queue that closes itself; mp_queue_put() is its put(). There is
 * nothing to link besides libmp, and what a call does is told by the page of the C function. Three
 * things are different: results are mp::result<T> (nothing throws but value()), values are mp::obj
 * and mp::view, and tasks are typed functions. Start with mp-hpp(7).
 */
#ifndef MP_HPP
#define MP_HPP

#include <mp/hpp/result.hpp>
#include <mp/hpp/handle.hpp>
#include <mp/hpp/view.hpp>
#include <mp/hpp/obj.hpp>
#include <mp/hpp/call.hpp>
#include <mp/hpp/process.hpp>
#include <mp/hpp/pool.hpp>
#include <mp/hpp/sync.hpp>
#include <mp/hpp/queue.hpp>
#include <mp/hpp/channel.hpp>
#include <mp/hpp/memory.hpp>
#include <mp/hpp/dict.hpp>
#include <mp/hpp/served.hpp>
#include <mp/hpp/served_list.hpp>
#include <mp/hpp/manager.hpp>
#include <mp/hpp/server.hpp>

#endif
