/* SPDX-License-Identifier: MIT */
/*
 * mp.h - libmp, multiprocessing for C: everything.
 *
 *	cc program.c $(pkg-config --cflags --libs libmp)
 *
 * Start with mp(7).
 */
#ifndef MP_H
#define MP_H

#include <mp/version.h>
#include <mp/error.h>
#include <mp/log.h>
#include <mp/obj.h>
#include <mp/handle.h>
#include <mp/block.h>
#include <mp/shared_list.h>
#include <mp/process.h>
#include <mp/future.h>
#include <mp/pool.h>
#include <mp/map.h>
#include <mp/queue.h>
#include <mp/connection.h>
#include <mp/listener.h>
#include <mp/event.h>
#include <mp/semaphore.h>
#include <mp/manager.h>
#include <mp/proxy.h>
#include <mp/list.h>
#include <mp/served.h>
#include <mp/served_queue.h>
#include <mp/server.h>
#include <mp/timer.h>
#include <mp/heap.h>
#include <mp/value.h>
#include <mp/lock.h>
#include <mp/rwlock.h>
#include <mp/barrier.h>
#include <mp/condition.h>
#include <mp/wait.h>

#endif
