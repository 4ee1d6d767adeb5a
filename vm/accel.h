/*
 * KVM or emulation (TCG). A KVM that is present is not a KVM that works: a device that opens and
 * creates VMs whose guests never get anywhere has been seen. So KVM is used only if a guest
 * kernel has been seen to run on it, in a child process that may hang or die.
 */
#ifndef VMDECK_VM_ACCEL_H
#define VMDECK_VM_ACCEL_H

#include <stdbool.h>

#include "base/error.h"

enum accel_want { ACCEL_AUTO, ACCEL_KVM, ACCEL_TCG };

struct accel {
    bool kvm;
    bool first;       /* the reason below has not been told since the host booted */
    char reason[256]; /* why not KVM, for the user; "" with KVM or where TCG was asked for */
};

const char *accel_name(const struct accel *accel); /* "kvm" or "tcg" */

/* "auto", "kvm", "tcg". -EINVAL for others. */
int accel_parse(const char *text, enum accel_want *out, struct error *err);

/*
 * Decides. `qemu` is the emulator's path, `kernel` an x86 kernel that QEMU can boot. The result
 * of the probe (at most ACCEL_PROBE_SECONDS, blocking) is kept in the cache until the host boots
 * again or QEMU changes. ACCEL_KVM on a host whose KVM does not work is an error.
 */
#define ACCEL_PROBE_SECONDS 5
int accel_choose(enum accel_want want, const char *qemu, const char *kernel, struct accel *out,
                 struct error *err);

#endif
