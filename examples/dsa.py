#!/usr/bin/env python3
import ctypes, mmap, os, struct

memory = mmap.mmap(-1, 4096)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
wq = os.open("/dev/dsa/wq0.0", os.O_RDWR)            # a work queue: its device may reach our memory
fill = struct.pack("<IIQ8sQI28x", 0, 4 << 24 | 0xC, address + 2048, b"ioasid! ", address, 24)
os.write(wq, fill)                                   # a descriptor: fill 24 bytes
while memory[2048] == 0:                             # its completion record
    pass
print("status", memory[2048], memory[:24])
