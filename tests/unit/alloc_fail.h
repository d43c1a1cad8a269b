/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making allocations fail: every unit test and the fault suite are linked with alloc_fail.c, through which all of base/alloc.h goes
 * (vd_seams in tests/CMakeLists.txt).
 */
#ifndef TESTS_UNIT_ALLOC_FAIL_H
#define TESTS_UNIT_ALLOC_FAIL_H

#include <stdbool.h>

/* The nth allocation from now on (0: the next) fails, once; negative: none does any more.  Any thread's counts. */
void alloc_fail_at(long n);
/* The nth and all that follow. */
void alloc_fail_from(long n);
/* How many failed since either was last called with a number. */
long alloc_fail_hits(void);
/* Allocations between enter and leave, which may nest, are the test's own: they do not count. */
void alloc_fail_pause(bool enter);

#endif
