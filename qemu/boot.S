/*
 * The first sector of a disk: reads the second by the firmware's driver, says on the serial line what is in
 * it, writes the same to the third, and ends the machine.
 */
	.code16
	.globl _start
_start:
	xorw %ax, %ax
	movw %ax, %ds
	movw %ax, %es
	movw %ax, %ss
	movw $0x7c00, %sp
	movb %dl, drive
	movb $0x42, %ah
	call transfer
	movw $0x8000, %si
say:
	lodsb
	testb %al, %al
	jz said
	movw $0x3f8, %dx
	outb %al, %dx
	jmp say
said:
	movw $2, sector
	movw $0x4300, %ax
	call transfer
	xorb %al, %al
end:
	movw $0xf4, %dx
	outb %al, %dx
	hlt

/* INT 13h extended read (AH=42h) or write (43h) of one sector. */
transfer:
	movb drive, %dl
	movw $packet, %si
	int $0x13
	movb $1, %al
	jc end
	ret

drive:	.byte 0
	.balign 4
packet:	.byte 16, 0
	.word 1
	.word 0x8000, 0
sector:	.quad 1
	.org 510
	.word 0xaa55
