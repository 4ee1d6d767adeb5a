/*
 * The command line is deliberately bare (-nodefaults, no VGA, USB, SATA, SMBus or floppy): what
 * is not there does not have to be emulated, probed by the guest at boot, set up by each QEMU that
 * starts, or saved. There is no virtio-rng: processors that lack RDRAND are older than what we run
 * on, and the agent brings the host's entropy before anything runs.
 *
 * A VM whose state is loaded gets no kernel: it lies in the memory already, and reading 50 MB of
 * it would take longer than everything else. The device state travels without configuration and
 * description sections, because xen-save-devices-state (the one command that saves the devices
 * without the memory) writes none.
 *
 * No switch between us and the guest has to learn where a restored one is: it does not announce
 * itself, which would be a seventh of all the code that a fork runs until its first command ends.
 *
 * Every VM has the NIC, also one that is to have no network, whose other end is closed: template
 * and fork must be the same machine.
 *
 * An emulated machine that can have one processor only gets no memory barriers from QEMU 7.2: it
 * leaves the guest's out and makes its locked instructions plain ones (tcg_gen_mb(), CF_PARALLEL in
 * tcg/tcg-op.c), although QEMU's own thread is at the other end of the virtio queues. Now and then
 * each side misses what the other has just said, and the network or a port stands still for ever.
 * So there is room for a second processor, which never comes; the kernel is told (nr_cpus).
 *
 * The whole chain of the disk is named here, from the top to the raw base, so that what the qcow2
 * headers say of their backing files does not matter: a snapshot may have been moved.
 */
#include "vm/machine.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/hash.h"
#include "base/str.h"

/* What the kernel need not look for; each costs emulated time at boot. */
static const char kernel_arguments[] =
    "console=ttyS0 quiet panic=-1 reboot=t no_timer_check noreplace-smp 8250.nr_uarts=1 "
    "i8042.noaux i8042.nokbd i8042.nopnp cryptomgr.notests random.trust_cpu=on "
    "rcupdate.rcu_expedited=1 nowatchdog mitigations=off";

/*
 * What emulation (TCG) pays for dearly, measured with a guest's /bin/true and streams: randomised
 * address spaces (a program at new addresses is translated anew: five times as long), clearing
 * pages twice, `rep movsb` (done byte by byte: a third of the throughput), five-level page tables,
 * SMAP and protection keys (a translation flush at every change), AVX (OpenSSL takes it, and then
 * decrypts AES-GCM at a fifth and ChaCha20 at a third of the speed), MPX (nothing uses it, and each
 * switch of processes saves its registers), a watchdog of the one clock that there is (twice a
 * second, in idle guests too), the memory controller of cgroups (a twelfth of every fork and
 * fault), mapping 64 KiB around each fault (few of the pages are used, and each is counted, mapped
 * and unmapped; the agent sets this one). The guest loses hardening against itself by it, not the
 * host; with KVM it keeps all of it.
 */
static const char emulated_arguments[] =
    " norandmaps init_on_alloc=0 psi=0 audit=0 tsc=reliable lsm=landlock,yama "
    "randomize_kstack_offset=off hardened_usercopy=off cgroup_disable=memory "
    "fault_around_bytes=16384";
static const char emulated_cpu[] =
    "max,avx=off,avx2=off,f16c=off,vaes=off,erms=off,fsrm=off,la57=off,smap=off,smep=off,pku=off,"
    "pks=off,umip=off,mpx=off";

static const char *const fixed[] = {
    "-nodefaults",
    "-no-user-config",
    "-no-reboot",
    "-display",
    "none",
    "-sandbox",
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    "-global",
    "migration.send-configuration=off",
    "-global",
    "migration.x-events=on",
    "-global",
    "migration.announce-rounds=0",
    "-chardev",
    "socket,id=qmp,fd=3",
    "-mon",
    "chardev=qmp,mode=control",
    "-chardev",
    "socket,id=console,fd=4",
    "-serial",
    "chardev:console",
    "-chardev",
    "socket,id=agent,fd=5",
    "-device",
    "virtio-serial-pci,max_ports=3,disable-legacy=on",
    "-device",
    "virtserialport,chardev=agent,name=vmdeck.ctl",
    "-chardev",
    "socket,id=vfs,fd=8",
    "-device",
    "virtserialport,chardev=vfs,name=vmdeck.vfs",
    "-device",
    "virtio-blk-pci,drive=root,disable-legacy=on",
    "-netdev",
    "stream,id=net,addr.type=fd,addr.str=7",
    "-device",
    /* the address is NET_MAC of net/ */
    ("virtio-net-pci,netdev=net,disable-legacy=on,romfile=,guest_announce=off,"
     "mac=52:54:00:76:6d:01"),
    "-machine",
    ("q35,vmport=off,smm=off,graphics=off,usb=off,sata=off,smbus=off,hpet=off,i8042=off,"
     "suppress-vmdesc=on,"
     "memory-backend=ram"),
};

/* What every VM of this shape has, whatever it starts with. */
static int shape_arguments(const struct machine *machine, struct strv *argv)
{
    int rc = 0;
    for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
        rc |= strv_add(argv, fixed[i]);
    rc |= strv_add(argv, "-accel");
    rc |= strv_add(argv, machine->kvm ? "kvm" : "tcg,thread=multi");
    rc |= strv_add(argv, "-cpu");
    rc |= strv_add(argv, machine->kvm ? "host" : emulated_cpu);
    rc |= strv_add(argv, "-m");
    rc |= strv_addf(argv, "%" PRIu64 "B", machine->memory);
    rc |= strv_add(argv, "-smp");
    rc |= strv_addf(argv, "%u,maxcpus=%u", machine->cpus,
                    machine->cpus == 1 && !machine->kvm ? 2 : machine->cpus);
    return rc;
}

static char *kernel_line(const struct machine *machine)
{
    return str_printf("%s%s nr_cpus=%u", kernel_arguments, machine->kvm ? "" : emulated_arguments,
                      machine->cpus);
}

static int boot_arguments(const struct machine *machine, struct strv *argv)
{
    CLEAN_FREE char *line = kernel_line(machine);
    int rc = strv_add(argv, "-append");
    rc |= line != NULL ? strv_add(argv, line) : -ENOMEM;
    rc |= strv_add(argv, "-kernel");
    rc |= strv_add(argv, machine->kernel);
    rc |= strv_add(argv, "-initrd");
    rc |= strv_add(argv, machine->initrd);
    return rc;
}

/* The overlays are worth nothing without their running guest: no flushes. */
static int disk_argument(const struct machine *machine, struct strv *argv)
{
    CLEAN_BUF struct buf json = {0};
    size_t layers = 0;
    int rc = 0;
    while (layers < MACHINE_LAYERS_MAX && machine->disk[layers] != NULL)
        layers++;
    for (size_t i = 0; i < layers; i++) {
        bool raw = i + 1 == layers;
        rc |=
            buf_printf(&json,
                       "%s{\"driver\":\"%s\",%s\"cache\":{\"no-flush\":true},%s\"file\":{"
                       "\"driver\":\"file\",\"cache\":{\"no-flush\":true},%s\"filename\":\"%s\"}",
                       i > 0 ? ",\"backing\":" : "", raw ? "raw" : "qcow2",
                       i == 0 ? "\"node-name\":\"root\",\"discard\":\"unmap\"," : "",
                       i > 0 ? "\"read-only\":true," : "",
                       i > 0 ? "\"read-only\":true," : "\"discard\":\"unmap\",", machine->disk[i]);
    }
    for (size_t i = 0; i < layers; i++)
        rc |= buf_printf(&json, "}");
    const char *text = buf_string(&json);
    rc |= strv_add(argv, "-blockdev");
    return rc | (text != NULL ? strv_add(argv, text) : -ENOMEM);
}

static bool path_usable(const char *path)
{
    return path == NULL || strpbrk(path, "\"\\,") == NULL;
}

int machine_arguments(const struct machine *machine, struct strv *argv, struct error *err)
{
    bool usable = path_usable(machine->ram);
    for (size_t i = 0; i < MACHINE_LAYERS_MAX; i++)
        usable = usable && path_usable(machine->disk[i]);
    if (machine->memory > MACHINE_MEMORY_MAX || !usable)
        return error_set(err, EINVAL, "QEMU cannot have %" PRIu64 " bytes of memory, or %s",
                         machine->memory, machine->disk[0]);
    int rc = strv_add(argv, machine->binary) | shape_arguments(machine, argv);
    rc |= strv_add(argv, "-name");
    rc |= strv_addf(argv, "%s,process=%s", machine->name, machine->name);
    rc |= strv_add(argv, "-object");
    rc |= strv_addf(argv, "memory-backend-file,id=ram,size=%" PRIu64 "B,mem-path=%s,share=%s",
                    machine->memory, machine->ram, machine->ram_shared ? "on" : "off");
    rc |= disk_argument(machine, argv);
    if (machine->kernel != NULL)
        rc |= boot_arguments(machine, argv);
    if (machine->restore) {
        if (machine->stopped)
            rc |= strv_add(argv, "-S");
        rc |= strv_add(argv, "-incoming");
        rc |= strv_addf(argv, "fd:%d", MACHINE_FD_STATE);
    }
    return rc != 0 ? error_set(err, ENOMEM, "out of memory") : 0;
}

int machine_shape(const struct machine *machine, char shape[MACHINE_SHAPE_SIZE], struct error *err)
{
    CLEAN_STRV struct strv argv = {0};
    CLEAN_FREE char *line = kernel_line(machine);
    char hex[HASH_HEX_SIZE];
    struct hash *hash = line != NULL && shape_arguments(machine, &argv) == 0 ? hash_start() : NULL;
    if (hash == NULL)
        return error_set(err, ENOMEM, "out of memory");
    for (size_t i = 0; i < argv.count; i++)
        hash_add(hash, argv.items[i], strlen(argv.items[i]) + 1);
    hash_add(hash, line, strlen(line) + 1);
    hash_finish(hash, hex);
    memcpy(shape, hex, MACHINE_SHAPE_SIZE - 1);
    shape[MACHINE_SHAPE_SIZE - 1] = '\0';
    return 0;
}
