/*
 * What our guests have in common: each is all of a virtual machine's software. It says on the serial port
 * what it has seen, and ends the machine through port 0xf4 (QEMU's isa-debug-exit).
 *
 * A multiboot kernel, entered in 32-bit protected mode without paging: addresses are guest physical ones. A
 * guest includes this file and defines work().
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;

/* multiboot: no modules, no video */
__attribute__((section(".text.start"), used, aligned(4)))
static const u32 header[] = {0x1badb002, 0, -0x1badb002};

enum { SERIAL = 0x3f8, CONFIG_ADDRESS = 0xcf8, CONFIG_DATA = 0xcfc, END = 0xf4 };
enum { EDU = 0x11e81234, MEMORY_SPACE = 2, BUS_MASTER = 4 };
/* edu: registers in BAR 0, and its internal buffer as its DMA engine addresses it */
enum { IDENTIFICATION = 0x00, LIVENESS = 0x04, SOURCE = 0x80, DESTINATION = 0x88 };
enum { COUNT = 0x90, COMMAND = 0x98, BUFFER = 0x40000 };

static u8 stack[4096] __attribute__((aligned(16), used));
static volatile u8 *bar;
static u8 from[256] __attribute__((aligned(4096))), to[256] __attribute__((aligned(4096)));

static void out8(u16 port, u8 value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static void out32(u16 port, u32 value) { __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port)); }
static u32 in32(u16 port)
{
	u32 value;
	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void say(const char *text)
{
	while (*text)
		out8(SERIAL, (u8)*text++);
}

static void say_number(const char *what, u32 value)
{
	say(what);
	for (int shift = 28; shift >= 0; shift -= 4)
		out8(SERIAL, (u8)"0123456789abcdef"[value >> shift & 15]);
	say("\n");
}

static u32 config(u32 device, u32 offset)
{
	out32(CONFIG_ADDRESS, 0x80000000u | device << 11 | offset);
	return in32(CONFIG_DATA);
}

static void set_config(u32 device, u32 offset, u32 value)
{
	out32(CONFIG_ADDRESS, 0x80000000u | device << 11 | offset);
	out32(CONFIG_DATA, value);
}

static u32 reg(u32 offset) { return *(volatile u32 *)(bar + offset); }
static void set_reg(u32 offset, u32 value) { *(volatile u32 *)(bar + offset) = value; }

/**
 * The number on the bus of the device with this vendor and device id, or 32; its registers can be reached at
 * `bar` then.
 */
static u32 find(u32 ids)
{
	u32 device = 0;
	while (device < 32 && config(device, 0) != ids)
		device++;
	if (device == 32) {
		say_number("no device ", ids);
		return device;
	}
	bar = (volatile u8 *)(config(device, 0x10) & ~15u);
	set_config(device, 4, config(device, 4) | MEMORY_SPACE);
	return device;
}

/* One DMA of edu, to its end. The command: 1 into the device, 3 out of it. */
static void dma(u32 source, u32 destination, u32 command)
{
	set_reg(SOURCE, source);
	set_reg(DESTINATION, destination);
	set_reg(COUNT, sizeof from);
	set_reg(COMMAND, command);
	while (reg(COMMAND) & 1)
		;
}

static int same(const u8 *a, const u8 *b)
{
	for (u32 i = 0; i < sizeof from; i++)
		if (a[i] != b[i])
			return 0;
	return 1;
}

static void work(void);

__attribute__((used)) static void guest_main(void)
{
	work();
	say("end\n");
	out8(END, 0);
	for (;;)
		__asm__ volatile("hlt");
}

__asm__(".globl _start\n_start:\n\tmov $stack + 4096, %esp\n\tcall guest_main\n");
