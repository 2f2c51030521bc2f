#!/usr/bin/env python3
"""iommufd and VFIO from Python, without a header: the numbers and structs are those of linux/iommufd.h and
linux/vfio.h. The device is QEMU's edu, whose DMA engine copies to and from a buffer of its own.

    npx ioasid run --device edu -- python3 examples/iommufd.py
"""
import ctypes, fcntl, mmap, os, struct

BAR0, CONFIG = 0 << 40, 7 << 40  # regions of a device file (VFIO_DEVICE_GET_REGION_INFO tells them, too)


def call(fd, number, layout, *values):
    """An ioctl _IO(';', number), whose struct begins with its size."""
    request = bytearray(struct.pack("<I" + layout, struct.calcsize("<I" + layout), *values))
    fcntl.ioctl(fd, ord(";") << 8 | number, request)
    return struct.unpack("<I" + layout, request)[1:]


def register(offset, value):
    os.pwrite(device, struct.pack("<Q", value), BAR0 + offset)


def copy(source, destination, length, command):
    for offset, value in (0x80, source), (0x88, destination), (0x90, length), (0x98, command):
        register(offset, value)
    while os.pread(device, 8, BAR0 + 0x98)[0] & 1:
        pass


memory = mmap.mmap(-1, 8192)
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
iommu = os.open("/dev/iommu", os.O_RDWR)
ioas = call(iommu, 0x81, "II", 0, 0)[1]                          # IOMMU_IOAS_ALLOC
iova = call(iommu, 0x85, "IIIQQQ", 6, ioas, 0, address, 8192, 0)[5]  # IOMMU_IOAS_MAP, to read and write

device = os.open("/dev/vfio/devices/vfio0", os.O_RDWR)
call(device, 118, "IiI", 0, iommu, 0)                            # VFIO_DEVICE_BIND_IOMMUFD
call(device, 119, "II", 0, ioas)                                 # VFIO_DEVICE_ATTACH_IOMMUFD_PT
os.pwrite(device, struct.pack("<H", 6), CONFIG + 4)              # memory space and bus mastering on

memory[:16] = b"there and back\0\0"
copy(iova, 0x40000, 16, 1)                                       # into the device
copy(0x40000, iova + 4096, 16, 3)                                # and out of it
print("the device has copied:", memory[4096:4110].decode())
