/* What every cmocka test includes, in the order cmocka wants it. */
#ifndef VMDECK_TESTS_UNIT_H
#define VMDECK_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
