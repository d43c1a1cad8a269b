/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making allocations fail: every unit test is linked with alloc_fail.c, through which all of base/alloc.h goes. */
#ifndef TESTS_UNIT_ALLOC_FAIL_H
#define TESTS_UNIT_ALLOC_FAIL_H

/* The nth allocation from now on (0: the next) fails, once; negative: none does.  Any thread's counts. */
void alloc_fail_at(long n);
/* How many failed since alloc_fail_at(). */
long alloc_fail_hits(void);

#endif
