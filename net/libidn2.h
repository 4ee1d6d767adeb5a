/*
 * libidn2 (its manual), loaded late (base/late.h): few names are not ASCII, and it brings a large
 * library of its own.
 */
#ifndef VMDECK_NET_LIBIDN2_H
#define VMDECK_NET_LIBIDN2_H

#include <idn2.h>

#include "base/error.h"

struct libidn2 {
    typeof(idn2_to_ascii_8z) *to_ascii_8z;
    typeof(idn2_strerror) *strerror;
    typeof(idn2_free) *free;
};

extern struct libidn2 libidn2;

/* As late_load(). */
int libidn2_load(struct error *err);

#endif
