# A DSA writes into this program's memory, as soon as it may: ioasid run -- python3 fill.py
import ctypes, fcntl, mmap, os, struct

def call(fd, number, layout, *values):  # an ioctl of ioasid.h: its struct begins with its size
    request = bytearray(struct.pack("<I" + layout, struct.calcsize("<I" + layout), *values))
    fcntl.ioctl(fd, 3 << 30 | len(request) << 16 | ord(";") << 8 | number, request)
    return struct.unpack("<I" + layout, request)[1:]

ioasid, dsa = os.open("/dev/ioasid", os.O_RDWR), os.open("/dev/vfio/devices/vfio0", os.O_RDWR)
memory = mmap.mmap(-1, 8192)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
pasid = call(ioasid, 0xC1, "5I", 0, 0, 0, 0, 0)[3]                     # IOASID_ALLOC
iova = call(ioasid, 0xC3, "3I3Q", 3, pasid, 0, address, 8192, 0)[5]    # IOASID_MAP, to read and write
call(dsa, 0xCA, "IiIII", 0, ioasid, pasid, 0, 0)                       # IOASID_AUTHORIZE: both descriptors
os.pwrite(dsa, struct.pack("<H", 6), (7 << 40) + 4)                    # memory space and bus mastering on
fill = struct.pack("<IIQ8sQI28x", pasid, 4 << 24 | 0xC, iova + 4096, b"ioasid! ", iova, 24)
os.pwrite(dsa, fill, 2 << 40)                                          # a descriptor for work queue 0
while memory[4096] == 0:                                               # its completion record
    pass
print("status", memory[4096], memory[:24])
