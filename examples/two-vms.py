#!/usr/bin/env python3
"""Mediated devices of two VMs: each is a process with an ioasid of its own and one half of a DSA. Both call
their PASID 1, as their guests do, and neither reaches the other's by its number.

    npx ioasid run --device dsa,mdevs=2 -- python3 examples/two-vms.py
"""
import ctypes, errno, fcntl, mmap, os, socket, struct

GUEST_PASID = 1


def call(fd, number, layout, *values):
    """An ioctl of ioasid.h: its struct begins with its size, and comes back."""
    request = bytearray(struct.pack("<I" + layout, struct.calcsize("<I" + layout), *values))
    fcntl.ioctl(fd, 3 << 30 | len(request) << 16 | ord(";") << 8 | number, request)
    return struct.unpack("<I" + layout, request)[1:]


class Vm:
    def __init__(self, n):
        self.ioasid = os.open("/dev/ioasid", os.O_RDWR)
        self.device = os.open(f"/dev/vfio/devices/vfio{n}", os.O_RDWR)
        self.memory = mmap.mmap(-1, 8192)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.memory))
        self.pasid = call(self.ioasid, 0xC1, "5I", 0, 0, 0, 0, 0)[3]            # IOASID_ALLOC
        call(self.ioasid, 0xC3, "3I3Q", 7, self.pasid, 0, address, 8192, 0x10000)  # IOASID_MAP, at 0x10000
        self.authorize(self.pasid, GUEST_PASID)
        os.pwrite(self.device, struct.pack("<H", 6), (7 << 40) + 4)             # bus mastering on

    def authorize(self, pasid, vpasid):
        call(self.device, 0xCA, "IiIII", 0, self.ioasid, pasid, vpasid, 0)      # IOASID_AUTHORIZE

    def fill(self, text):
        """The device writes `text` at 0x10000 of the guest's PASID."""
        fill = struct.pack("<IIQ8sQI28x", GUEST_PASID, 4 << 24 | 0xC, 0x11000, text, 0x10000, 8)
        os.pwrite(self.device, fill, 2 << 40)
        while self.memory[4096] == 0:
            pass
        return self.memory[:8].decode()


def play(n, peer):
    vm = Vm(n)
    peer.send(struct.pack("<I", vm.pasid))
    others = struct.unpack("<I", peer.recv(4))[0]
    lines = [f"VM {n}: its device has written {vm.fill(b'from vm' + b'AB'[n:n + 1])!r} by PASID {GUEST_PASID}"]
    try:
        vm.authorize(others, 2)
    except OSError as refused:
        lines.append(f"VM {n}: the PASID of the other VM is {errno.errorcode[refused.errno]}")
    peer.send(b"done")
    peer.recv(4)  # both have done their work while the other was there
    return "\n".join(lines)


here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
child = os.fork()
if child == 0:
    print(play(1, there), flush=True)
    os._exit(0)
words = play(0, here)
os.waitpid(child, 0)
print(words)
