/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Services of the old machine, modprobe's settings, X, SELinux: trees before and after. */
#include "adapt_guest.h"

static const struct fact_fs disk[] = { FS(1, "ext4", "11111111-1111-4111-8111-111111111111", "/") };
static const struct adapt_options kvm = { .targets = TARGET_KVM }, vmware = { .targets = TARGET_VMWARE },
				  both = { .targets = TARGET_KVM | TARGET_VMWARE };

static void test_systemd(void **state)
{
	const struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/lib/systemd/system/open-vm-tools.service", "[Unit]\n", SAME },
		{ "/etc/systemd/system/vmtoolsd.service", LINK "/lib/systemd/system/open-vm-tools.service", LINK "/dev/null" },
		{ "/etc/systemd/system/open-vm-tools.service", NULL, LINK "/dev/null" },
		{ "/usr/lib/systemd/system/smartd.service", "[Unit]\n", SAME },
		{ "/etc/systemd/system/smartd.service", NULL, LINK "/dev/null" },
		{ "/etc/systemd/system/vmware-tools.service", "[Unit]\nown\n", LINK "/dev/null" },
		{ "/etc/systemd/system/vmware-tools.service.vdisk-off", NULL, "[Unit]\nown\n" },
		{ "/usr/lib/systemd/system/qemu-guest-agent.service", "[Unit]\n", SAME },
		{ "/etc/systemd/system/qemu-guest-agent.service", NULL, GONE },
		{ "/etc/systemd/system/mcelog.service", NULL, GONE },
		{ 0 },
	};

	(void)state;
	guest_check(step_agents, &f, &kvm, edits, NULL);
}

/* With several targets the agents of each stay. */
static void test_targets(void **state)
{
	const struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/lib/systemd/system/open-vm-tools.service", "[Unit]\n", SAME },
		{ "/lib/systemd/system/qemu-guest-agent.service", "[Unit]\n", SAME },
		{ "/lib/systemd/system/hypervkvpd.service", "[Unit]\n", SAME },
		{ "/etc/systemd/system/open-vm-tools.service", NULL, GONE },
		{ "/etc/systemd/system/qemu-guest-agent.service", NULL, GONE },
		{ "/etc/systemd/system/hypervkvpd.service", NULL, LINK "/dev/null" },
		{ 0 },
	};

	(void)state;
	guest_check(step_agents, &f, &both, edits, NULL);
}

static void test_sysv(void **state)
{
	struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/etc/rc.d/init.d/vmware-tools", "#!/bin/sh\n", SAME },
		{ "/etc/init.d", LINK "rc.d/init.d", SAME },
		{ "/etc/rc3.d", LINK "rc.d/rc3.d", SAME },
		{ "/etc/rc.d/rc3.d/S19vmware-tools", LINK "../init.d/vmware-tools", GONE },
		{ "/etc/rc.d/rc3.d/K81vmware-tools", NULL, LINK "../init.d/vmware-tools" },
		{ "/etc/rc.d/rc3.d/S20vmware-tools-x", LINK "../init.d/x", SAME },
		{ "/etc/rc.d/rc5.d/S19vmware-tools", LINK "../init.d/vmware-tools", GONE },
		{ "/etc/rc.d/rc5.d/K08vmware-tools", LINK "../init.d/vmware-tools", SAME },
		{ "/etc/rc.d/rc5.d/K81vmware-tools", NULL, LINK "../init.d/vmware-tools" },
		{ "/etc/rc.d/rc0.d/K08vmware-tools", LINK "../init.d/vmware-tools", SAME },
		{ "/etc/init/vmware-tools.conf", "start on x\n", SAME },
		{ "/etc/init/vmware-tools.override", NULL, "manual\n" },
		{ "/etc/runlevels/default/lm_sensors", LINK "/etc/init.d/lm_sensors", GONE },
		{ "/etc/runlevels/default/sshd", LINK "/etc/init.d/sshd", SAME },
		{ 0 },
	};

	(void)state;
	f.init = "sysvinit";
	guest_check(step_agents, &f, &kvm, edits, NULL);
}

static void test_modprobe(void **state)
{
	struct fact_kernel kernel = { .release = "2.6.18-x",
		                      .path = "",
		                      .initrd = "",
		                      .modules = "/lib/modules/2.6.18-x",
		                      .is_default = true,
		                      .installed = true,
		                      .storage = "",
		                      .network = "" };
	struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/lib/modules/2.6.18-x/modules.dep",
		  "kernel/drivers/block/virtio_blk.ko:\nkernel/drivers/net/virtio_net.ko:\nkernel/drivers/scsi/mptspi.ko:\nkernel/drivers/net/e1000.ko:\n",
		  SAME },
		{ "/etc/modprobe.conf",
		  "alias eth0 tg3\nalias scsi_hostadapter megaraid_sas\nalias scsi_hostadapter1 ata_piix\nalias scsi_hostadapter2 usb-storage\nalias snd-card-0 x\n",
		  "# vdisk: alias eth0 tg3\nalias eth0 virtio_net\n# vdisk: alias scsi_hostadapter megaraid_sas\nalias scsi_hostadapter virtio_blk\nalias scsi_hostadapter3 mptspi\nalias scsi_hostadapter1 ata_piix\n# vdisk: alias scsi_hostadapter2 usb-storage\nalias snd-card-0 x\n" },
		{ "/etc/modprobe.d/blacklist.conf",
		  "# blacklist virtio_net\nblacklist virtio-net\nblacklist floppy\ninstall virtio_blk /bin/true\ninstall virtio_scsi /sbin/modprobe --ignore-install virtio_scsi\ninstall usb-storage /bin/true\n",
		  "# blacklist virtio_net\n# vdisk: blacklist virtio-net\nblacklist floppy\n# vdisk: install virtio_blk /bin/true\ninstall virtio_scsi /sbin/modprobe --ignore-install virtio_scsi\ninstall usb-storage /bin/true\n" },
		{ 0 },
	};

	(void)state;
	f.kernels = &kernel;
	f.kernels_n = 1;
	guest_check(step_agents, &f, &both, edits, NULL);
}

/* A kernel without any of ours keeps what it is told. */
static void test_modprobe_without(void **state)
{
	struct fact_kernel kernel = { .release = "2.4.9",
		                      .path = "",
		                      .initrd = "",
		                      .modules = "/lib/modules/2.4.9",
		                      .is_default = true,
		                      .installed = true,
		                      .storage = "",
		                      .network = "" };
	struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/lib/modules/2.4.9/modules.dep", "kernel/drivers/scsi/megaraid.ko:\n", SAME },
		{ "/etc/modprobe.conf", "alias eth0 tg3\nalias scsi_hostadapter megaraid\nalias scsi_hostadapter1 ata_piix\n", SAME },
		{ 0 },
	};

	(void)state;
	f.kernels = &kernel;
	f.kernels_n = 1;
	guest_check(step_agents, &f, &both, edits, NULL);
}

static void test_xorg(void **state)
{
	const struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/etc/X11/xorg.conf",
		  "Section \"InputDevice\"\n Driver \"kbd\"\nEndSection\nSection \"Device\"\n\tIdentifier \"x\"\n\tDriver \"nvidia\"\nEndSection\n",
		  GONE },
		{ "/etc/X11/xorg.conf.vdisk-off", NULL,
		  "Section \"InputDevice\"\n Driver \"kbd\"\nEndSection\nSection \"Device\"\n\tIdentifier \"x\"\n\tDriver \"nvidia\"\nEndSection\n" },
		{ "/etc/X11/xorg.conf.d/10.conf", "Section \"Device\"\nDriver \"vesa\"\nEndSection\n", SAME },
		{ "/etc/X11/xorg.conf.d/20.conf", "Section \"InputClass\"\nDriver \"nvidia\"\nEndSection\n", SAME },
		{ "/etc/X11/xorg.conf.d/30.conf", "Section \"Device\"\nDriver \"vmware\"\nEndSection\n", SAME },
		{ 0 },
	};

	(void)state;
	guest_check(step_agents, &f, &vmware, edits, NULL);
}

static void test_selinux(void **state)
{
	struct facts f = FACTS(disk);
	const struct edit edits[] = {
		{ "/lib/systemd/system/hypervkvpd.service", "[Unit]\n", SAME },
		{ "/.autorelabel", NULL, "" },
		{ 0 },
	};
	const struct edit old[] = { { "/etc/modprobe.d/x.conf", "blacklist virtio_net\n", "# vdisk: blacklist virtio_net\n" },
		                    { "/.autorelabel", NULL, GONE },
		                    { 0 } };
	struct guest g;

	(void)state;
	f.selinux = true;
	guest_make(&g, edits);
	guest_step(&g, step_agents, &f, &kvm);
	guest_expect(&g, "/.autorelabel", "");
	guest_remarks(&g, "1 new file has no label yet (/etc/systemd/system/hypervkvpd.service)");
	guest_destroy(&g);
	guest_check(step_agents, &f, &kvm, old, NULL); /* what is there has its label */
}

static void test_remarks(void **state)
{
	const struct facts f = FACTS(disk);
	const struct edit edits[] = { { "/etc/adjtime", "0.0 0 0.0\n0\nLOCAL\n", SAME },
		                      { "/etc/machine-id", "0123456789abcdef0123456789abcdef\n", SAME },
		                      { 0 } };
	struct guest g;

	(void)state;
	guest_run(&g, step_agents, &f, &kvm, edits, "/etc/adjtime: the guest takes its hardware clock for local time");
	guest_remarks(&g, "/etc/machine-id");
	guest_destroy(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_systemd),  cmocka_unit_test(test_targets), cmocka_unit_test(test_sysv),
		cmocka_unit_test(test_modprobe), cmocka_unit_test(test_xorg),    cmocka_unit_test(test_selinux),
		cmocka_unit_test(test_remarks),  cmocka_unit_test(test_modprobe_without),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
