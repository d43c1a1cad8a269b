/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interrupt lines of PCI functions, as the IOAPIC and the 8259s see them. */
#include "pci.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#define INPUTS 24

static bool level[INPUTS];
static unsigned told[INPUTS]; /* how many times */

void __wrap_vm_irq(struct vm *vm, unsigned gsi, bool to);
void __wrap_vm_irq(struct vm *vm, unsigned gsi, bool to)
{
	(void)vm;
	assert_true(gsi < INPUTS);
	level[gsi] = to;
	told[gsi]++;
}

/* ---- a bus with a function on each line, and a second one on line C */

static struct machine machine;
static struct pci_dev a, b, c, d, c2;

static void begin(const unsigned routes[PCI_LINES])
{
	static const struct {
		struct pci_dev *dev;
		unsigned slot;
	} slots[] = { { &a, 1 }, { &b, 2 }, { &c, 3 }, { &d, 4 }, { &c2, 19 } };
	vdisk_error err;

	memset(level, 0, sizeof(level));
	memset(told, 0, sizeof(told));
	machine = (struct machine){ .vm.fd = -1 };
	assert_int_equal(0, pci_create(&machine, &machine.pci, &err));
	for (unsigned i = 0; i < sizeof(slots) / sizeof(*slots); i++) {
		*slots[i].dev = (struct pci_dev){ 0 };
		pci_dev_init(slots[i].dev, 0x1af4, 0x1000, 0, 0, 0);
		assert_int_equal(0, pci_add(machine.pci, slots[i].dev, slots[i].slot, 0, &err));
	}
	for (unsigned i = 0; i < PCI_LINES; i++)
		pci_route(machine.pci, i, routes[i]);
}

static void end(void)
{
	pci_destroy(machine.pci);
	bus_destroy(&machine.pio);
}

/* Just these inputs are high: bit N for input N. */
static void expect(const char *when, uint32_t high)
{
	for (unsigned i = 0; i < INPUTS; i++)
		if (level[i] != (high >> i & 1))
			fail_msg("%s: input %u: expected %u, is %u", when, i, (unsigned)(high >> i & 1), level[i]);
}

#define IN(n) (1u << (n))

/* ---- cases */

static void lines_share_an_isa_line(void **state)
{
	static const unsigned firmware[PCI_LINES] = { 10, 10, 11, 11 };

	(void)state;
	begin(firmware);
	pci_line_set(&c, true);
	expect("C", IN(18) | IN(11));
	pci_line_set(&d, true);
	expect("C and D", IN(18) | IN(19) | IN(11));
	pci_line_set(&c, false);
	expect("D is left", IN(19) | IN(11));
	pci_line_set(&c, true);
	pci_line_set(&c, false);
	expect("D is still left", IN(19) | IN(11));
	pci_line_set(&a, true);
	expect("A and D", IN(16) | IN(10) | IN(19) | IN(11));
	pci_line_set(&d, false);
	expect("A", IN(16) | IN(10));
	pci_line_set(&a, false);
	expect("none", 0);
	end();
}

static void functions_share_a_line(void **state)
{
	static const unsigned routes[PCI_LINES] = { 0, 0, 11, 0 };

	(void)state;
	begin(routes);
	pci_line_set(&c, true);
	pci_line_set(&c2, true);
	pci_line_set(&c, true); /* no news */
	pci_line_set(&c, false);
	expect("the other is left", IN(18) | IN(11));
	pci_line_set(&c2, false);
	expect("none", 0);
	end();
}

static void routes_move(void **state)
{
	static const unsigned routes[PCI_LINES] = { 10, 10, 11, 11 };

	(void)state;
	begin(routes);
	pci_line_set(&c, true);
	pci_line_set(&d, true);
	pci_route(machine.pci, 2, 5);
	expect("C goes to 5, D stays", IN(18) | IN(19) | IN(5) | IN(11));
	pci_route(machine.pci, 3, 5);
	expect("D follows", IN(18) | IN(19) | IN(5));
	pci_route(machine.pci, 2, 0);
	expect("C goes nowhere", IN(18) | IN(19) | IN(5));
	pci_route(machine.pci, 3, 0);
	expect("D goes nowhere", IN(18) | IN(19));
	pci_route(machine.pci, 3, 9);
	expect("D goes to 9", IN(18) | IN(19) | IN(9));
	pci_line_set(&d, false);
	expect("C", IN(18));
	end();
}

/* Others have ISA lines, too: one that no function asserts is left alone. */
static void foreign_lines_are_left_alone(void **state)
{
	static const unsigned routes[PCI_LINES] = { 4, 4, 11, 11 };

	(void)state;
	begin(routes);
	pci_line_set(&c, true);
	for (unsigned i = 0; i < PCI_LINES; i++)
		pci_route(machine.pci, i, 11);
	for (unsigned i = 0; i < PCI_LINES; i++)
		pci_route(machine.pci, i, 0);
	assert_int_equal(0, told[4]);
	assert_int_equal(2, told[11]); /* up, and down at last */
	expect("C, routed nowhere", IN(18));
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_share_an_isa_line),
		cmocka_unit_test(functions_share_a_line),
		cmocka_unit_test(routes_move),
		cmocka_unit_test(foreign_lines_are_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
