#!/bin/sh
# Each function of libmp.map is wrapped in mp.hpp, or stands here with the reason why it is not.
set -eu
: "${CXX:=c++}"
echo 'int nothing;' | $CXX -std=c++17 -x c++ -fsyntax-only - 2> /dev/null || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export LC_ALL=C

# What the parts of mp.hpp call: their own lines after the preprocessor, so that comments do not count.
$CXX -std=c++17 -I"$top_srcdir/include" -E -x c++ "$top_srcdir/include/mp.hpp" |
  awk '/^# [0-9]+ "/ { ours = $3 ~ /mp\/hpp\//; next } ours' |
  grep -oE '\bmp_[a-z0-9_]+' | sort -u > "$work/used"
grep -oE '^[[:space:]]+mp_[a-z0-9_]+' "$top_srcdir/libmp.map" | tr -d ' \t' | sort -u |
  grep -v '_handle$' > "$work/exported" # mp::arg() calls mp_handle(), which chooses among those by type

# NAME... : why
sed -e 's/ : .*//' -e '/^#/d' << 'END' | tr -s ' ' '\n' | sort > "$work/exceptions"
# Plain functions of numbers and text, without a handle: C++ calls them as they are.
mp_begin mp_cpu_count mp_exit_wait mp_shm_gc mp_task_cancelled mp_version : numbers in, numbers out
mp_start_method_get mp_start_method_set mp_start_method_name mp_start_method_parse : an enum and its name
mp_parent_pid mp_parent_name mp_parent_is_alive mp_parent_join mp_parent_sentinel : there is one parent, no handle
mp_process_current_name mp_process_current_daemon : of this process
mp_log_set_handler mp_log_stderr mp_progress_bar : callbacks that are C functions, given to C
# Done by another wrapper.
mp_pool_submit : mp::pool::submit() is mp_pool_submit_with(), which is the same without options
mp_pool_map : mp::pool::map() is mp_pool_map_with()
mp_pool_starmap : mp::pool::map() with .star in its options
mp_heap_alloc : mp::heap::alloc_bytes() is mp_heap_alloc_aligned(), by default to the same 16
mp_obj_take_fd : as<mp::file>() duplicates, so that a value may be read twice
mp_condition_wait_lock mp_condition_wait_rlock : mp_condition_wait() chooses by the type of the lock
mp_condition_wait_for_lock mp_condition_wait_for_rlock : mp_condition_wait_for() likewise
# Readers of values: mp::view asks by its own switch over the type.
mp_obj_f64 mp_obj_i64 mp_obj_str : as<T>() checks and tells, where these give 0 or NULL
mp_proxy_dict : as<mp::dict>() reads the handle of a dict itself
END

status=0
comm -13 "$work/used" "$work/exported" | comm -23 - "$work/exceptions" > "$work/missing"
comm -12 "$work/used" "$work/exceptions" > "$work/needless"
comm -13 "$work/exported" "$work/exceptions" > "$work/unknown"
while read -r name; do
  echo "$name: no wrapper in mp.hpp; write one, or say in $0 why not" >&2
  status=1
done < "$work/missing"
cat "$work/needless" "$work/unknown" > "$work/wrong"
while read -r name; do
  echo "$name: stands in $0 as not wrapped, and is, or is not exported" >&2
  status=1
done < "$work/wrong"
exit $status
