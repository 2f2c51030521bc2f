"""Mistakes that people make, each a program: `mistakes.py NAME`. It ends with status 1 as soon as it has been
made, as a program does that sees an error, or has waited long enough. src/cli/programs/mistakes.test.ts has
what `ioasid run` says of each at the end.
"""
import ctypes, fcntl, mmap, os, struct, sys, time

BAR0, BAR2, CONFIG = 0 << 40, 2 << 40, 7 << 40
PAGE = 4096
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p


def ioctl(fd, number, request=0):
    return fcntl.ioctl(fd, number, request)


def native(fd, number, layout, *values, size=None, direction=3):
    """An ioctl of ioasid.h: its struct begins with its size."""
    length = struct.calcsize("<I" + layout)
    request = bytearray(struct.pack("<I" + layout, length if size is None else size, *values))
    ioctl(fd, direction << 30 | len(request) << 16 | ord(";") << 8 | number, request)
    return struct.unpack("<I" + layout, request)[1:]


def linux(fd, number, layout, *values):
    """An ioctl of iommufd or VFIO: a struct that begins with its size."""
    request = bytearray(struct.pack("<I" + layout, struct.calcsize("<I" + layout), *values))
    ioctl(fd, ord(";") << 8 | number, request)
    return struct.unpack("<I" + layout, request)[1:]


def address_of(memory):
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def node(path):
    return os.open("/dev/" + path, os.O_RDWR)


alloc = lambda fd: native(fd, 0xC1, "5I", 0, 0, 0, 0, 0)[3]
free = lambda fd, pasid: native(fd, 0xC2, "3I", 0, pasid, 0)
map_ = lambda fd, pasid, address, length, flags=3, iova=0: native(
    fd, 0xC3, "3I3Q", flags, pasid, 0, address, length, iova)[5]
authorize = lambda dev, fd, pasid, vpasid=0: native(dev, 0xCA, "IiIII", 0, fd, pasid, vpasid, 0)
revoke = lambda dev, pasid: native(dev, 0xCB, "3I", 0, pasid, 0)


class Native:
    """A context with a PASID and two pages in it, and a device that may not reach them yet."""

    def __init__(self, length=2 * PAGE):
        self.fd, self.device = node("ioasid"), node("vfio/devices/vfio0")
        self.memory = mmap.mmap(-1, length)
        self.address = address_of(self.memory)
        self.pasid = alloc(self.fd)
        self.iova = map_(self.fd, self.pasid, self.address, length)
        os.pwrite(self.device, struct.pack("<H", 6), CONFIG + 4)

    def authorized(self):
        authorize(self.device, self.fd, self.pasid)
        return self

    def submit(self, **changes):
        """A fill of 64 bytes, and its completion record in the second page."""
        fields = dict(pasid=self.pasid, flags=0xC, opcode=4, record=self.iova + PAGE, pattern=b"ioasid! ",
                      target=self.iova, length=64, portal=0, rest=bytes(28)) | changes
        fill = struct.pack("<IIQ8sQI28s", fields["pasid"], fields["opcode"] << 24 | fields["flags"],
                           fields["record"], fields["pattern"], fields["target"], fields["length"], fields["rest"])
        os.pwrite(self.device, fill, BAR2 + fields["portal"])
        return self.wait()

    def wait(self):
        """A program that waits for its completion record, and gives up."""
        end = time.monotonic() + 0.3
        while self.memory[PAGE] == 0 and time.monotonic() < end:
            pass
        sys.exit(1)


class Iommufd:
    """An IOAS with two pages at 0x100000, and an edu."""

    def __init__(self):
        self.fd, self.device = node("iommu"), node("vfio/devices/vfio0")
        self.ioas = linux(self.fd, 0x81, "II", 0, 0)[1]
        self.memory = mmap.mmap(-1, 2 * PAGE)
        self.map(0x100000)

    def map(self, iova, ioas=None, offset=0, length=2 * PAGE):
        address = address_of(self.memory) + offset
        return linux(self.fd, 0x85, "IIIQQQ", 7, ioas or self.ioas, 0, address, length, iova)

    def bind(self):
        self.id = linux(self.device, 118, "IiI", 0, self.fd, 0)[2]
        return self

    def attach(self, table=None, flags=0):
        layout = "III" if flags else "II"
        return linux(self.device, 119, layout, flags, table or self.ioas, *([5] if flags else []))

    def dma(self, iova, enable=6):
        os.pwrite(self.device, struct.pack("<H", enable), CONFIG + 4)
        for register, value in (0x80, iova), (0x88, 0x40000), (0x90, 16), (0x98, 1):
            os.pwrite(self.device, struct.pack("<Q", value), BAR0 + register)
        time.sleep(0.2)
        sys.exit(1)


def set_eventfds(device, index, *eventfds):
    count = len(eventfds)
    data = struct.pack(f"<5I{count}i", 20 + 4 * count, 0x24 if count else 0x21, index, 0, count, *eventfds)
    ioctl(device, ord(";") << 8 | 110, bytearray(data))


# --- the native ABI ---

def dma_before_authorize():
    Native().submit()

def iova_never_mapped():
    Native().authorized().submit(target=0x7000000)

def one_page_past_the_end():
    a = Native(3 * PAGE).authorized()
    a.submit(target=a.iova + 3 * PAGE - 32)

def pasid_of_another_context():
    a, other = Native(), node("ioasid")
    authorize(a.device, a.fd, alloc(other))

def revoke_of_what_is_not_authorized():
    a = Native()
    revoke(a.device, a.pasid)

def free_while_authorized():
    a = Native().authorized()
    free(a.fd, a.pasid)

def map_of_no_memory():
    a = Native()
    map_(a.fd, a.pasid, 0x10000, PAGE)

def map_of_read_only_memory_to_write():
    a = Native()
    page = libc.mmap(None, PAGE, 1, 0x22, -1, 0)
    map_(a.fd, a.pasid, page, PAGE)

def unaligned_iova():
    a = Native()
    map_(a.fd, a.pasid, a.address, PAGE, 7, 0x1800)

def unaligned_length():
    a = Native()
    map_(a.fd, a.pasid, a.address, 100)

def unaligned_address():
    a = Native()
    map_(a.fd, a.pasid, a.address + 8, PAGE)

def size_zero():
    native(node("ioasid"), 0xC1, "5I", 0, 0, 0, 0, 0, size=0)

def size_short():
    native(node("ioasid"), 0xC1, "5I", 0, 0, 0, 0, 0, size=4)

def size_long():
    native(node("ioasid"), 0xC1, "6I", 0, 0, 0, 0, 0, 9)

def unknown_flag():
    native(node("ioasid"), 0xC1, "5I", 0x80, 0, 0, 0, 0)

def device_fd_for_ioasid():
    a = Native()
    authorize(a.device, a.device, a.pasid)

def iommu_fd_for_ioasid():
    a = Native()
    authorize(a.device, node("iommu"), a.pasid)

def memfd_for_ioasid():
    a = Native()
    authorize(a.device, os.memfd_create("x"), a.pasid)

def authorize_on_the_ioasid_fd():
    a = Native()
    authorize(a.fd, a.fd, a.pasid)

def wrong_direction():
    native(node("ioasid"), 0xC1, "5I", 0, 0, 0, 0, 0, direction=1)

def vpasid_taken():
    a = Native().authorized()
    authorize(a.device, a.fd, alloc(a.fd), a.pasid)


# --- iommufd and containers ---

def attach_before_bind():
    Iommufd().attach()

def map_into_another_ioas():
    a = Iommufd().bind()
    other = linux(a.fd, 0x81, "II", 0, 0)[1]
    a.attach(other)
    a.dma(0x100000)

def unmap_of_a_part():
    a = Iommufd()
    linux(a.fd, 0x86, "IQQ", a.ioas, 0x100000, PAGE)

def iova_in_the_msi_window():
    a = Iommufd().bind()
    a.attach()
    a.map(0xFEE00000)

def iova_outside_the_ranges():
    a = Iommufd().bind()
    a.attach()
    a.map(1 << 62)

def unaligned_user_va():
    a = Iommufd().bind()
    a.attach()
    a.map(0x200000, offset=8, length=PAGE)

def pasid_attach_without_its_flag():
    a = Iommufd().bind()
    hwpt = linux(a.fd, 0x89, "IIIIIIIQII", 0, a.id, a.ioas, 0, 0, 0, 0, 0, 0, 0)[3]
    a.attach(hwpt, 1)

def destroy_in_use():
    a = Iommufd().bind()
    a.attach()
    linux(a.fd, 0x80, "I", a.ioas)

def map_dma_before_set_iommu():
    container, memory = node("vfio/vfio"), mmap.mmap(-1, PAGE)
    linux(container, 113, "IQQQ", 3, address_of(memory), 0, PAGE)


# --- devices ---

def bus_mastering_off():
    a = Iommufd().bind()
    a.attach()
    a.dma(0x100000, enable=2)

def memory_space_off():
    a = Iommufd().bind()
    a.attach()
    a.dma(0x100000, enable=4)

def interrupt(device, enable=6):
    os.pwrite(device, struct.pack("<H", enable), CONFIG + 4)
    os.pwrite(device, struct.pack("<I", 1), BAR0 + 0x60)

def msi_without_an_eventfd():
    a = Iommufd().bind()
    set_eventfds(a.device, 1, -1)
    interrupt(a.device)
    sys.exit(1)

def msi_with_bus_mastering_off():
    a = Iommufd().bind()
    set_eventfds(a.device, 1, os.eventfd(0))
    interrupt(a.device, 2)
    sys.exit(1)

def interrupt_never_acknowledged():
    a = Iommufd().bind()
    eventfd = os.eventfd(0, os.EFD_NONBLOCK)
    set_eventfds(a.device, 0, eventfd)
    interrupt(a.device)
    os.eventfd_read(eventfd)
    interrupt(a.device)
    os.eventfd_read(eventfd)


# --- DSA ---

def not_enabled():
    Native().authorized().submit()

def pasid_0_in_a_shared_queue():
    Native().authorized().submit(pasid=0)

def completion_address_misaligned():
    a = Native().authorized()
    a.submit(record=a.iova + PAGE + 8)

def completion_address_not_mapped():
    Native().authorized().submit(record=0x7000000)

def submit_of_32_bytes():
    a = Native().authorized()
    os.pwrite(a.device, bytes(32), BAR2)
    sys.exit(1)

def pasid_that_is_not_attached():
    a = Native()
    iommu = node("iommu")
    linux(a.device, 118, "IiI", 0, iommu, 0)
    a.submit(pasid=5)

def transfer_above_the_maximum():
    Native().authorized().submit(length=0xFFFFFFFF)

def dedicated_write_to_a_shared_queue():
    wq = node("dsa/wq0.0")
    portal = libc.mmap(None, PAGE, 2, 1, wq, 0)
    ctypes.memmove(portal, bytes(64), 64)
    sys.exit(1)

def reserved_flags():
    Native().authorized().submit(flags=0xC | 1 << 23)

def submit_to_a_full_queue():
    a = Native(1 << 24).authorized()
    for _ in range(1000):
        os.pwrite(a.device, struct.pack("<IIQ8sQI28x", a.pasid, 4 << 24, 0, b"ioasid! ", a.iova, 1 << 24), BAR2)


# --- vDPA ---

VHOST = 0xAF

def vhost(fd, number, layout, *values, direction=1):
    request = bytearray(struct.pack("<" + layout, *values))
    ioctl(fd, direction << 30 | len(request) << 16 | VHOST << 8 | number, request)
    return struct.unpack("<" + layout, request)


class Vdpa:
    """A disk whose driver has come as far as FEATURES_OK, with a ring at 0x100000."""

    def __init__(self, features=1 << 32 | 1 << 33):
        self.fd = node("vhost-vdpa-0")
        ioctl(self.fd, VHOST << 8 | 1)
        self.status(0)
        self.status(3)
        vhost(self.fd, 0, "Q", features)
        self.status(0xB)
        vhost(self.fd, 0x25, "Q", 1 << 1)
        self.memory = mmap.mmap(-1, PAGE)
        self.kick = os.eventfd(0)

    def status(self, value):
        vhost(self.fd, 0x72, "B", value)

    def map(self):
        message = struct.pack("<IIQQQBB6x", 2, 0, 0x100000, PAGE, address_of(self.memory), 3, 2)
        os.write(self.fd, message.ljust(72, b"\0"))
        return self

    def ring(self, call=True):
        vhost(self.fd, 0x10, "II", 0, 4)
        vhost(self.fd, 0x12, "II", 0, 0)
        vhost(self.fd, 0x11, "IIQQQQ", 0, 0, 0x100000, 0x100200, 0x100100, 0)
        vhost(self.fd, 0x20, "Ii", 0, self.kick)
        if call:
            vhost(self.fd, 0x21, "Ii", 0, os.eventfd(0))
        vhost(self.fd, 0x75, "II", 0, 1)
        return self

    def request(self):
        """A read of one sector, whose header is all zeros."""
        for n, (at, length, flags) in enumerate(((0x300, 16, 1), (0x400, 512, 3), (0x310, 1, 2))):
            self.memory[16 * n:16 * n + 16] = struct.pack("<QIHH", 0x100000 + at, length, flags, n + 1)
        self.memory[0x310] = 0xFF
        self.memory[0x102:0x104] = struct.pack("<H", 1)
        os.eventfd_write(self.kick, 1)
        end = time.monotonic() + 0.3
        while self.memory[0x310] == 0xFF and time.monotonic() < end:
            pass
        sys.exit(1)


def rings_before_driver_ok():
    Vdpa().map().ring().request()

def no_iotlb_entry_for_a_ring():
    a = Vdpa().ring()
    a.status(0xF)
    a.request()

def kick_without_a_call_fd():
    a = Vdpa().map().ring(call=False)
    a.status(0xF)
    a.request()

def wrong_feature_bits():
    Vdpa(1 << 60 | 1 << 33 | 1 << 32)
    sys.exit(1)

def status_out_of_order():
    fd = node("vhost-vdpa-0")
    ioctl(fd, VHOST << 8 | 1)
    vhost(fd, 0x72, "B", 7)
    sys.exit(1)


# --- a model's ---

def use_of_the_model():
    """Whatever the model does wrong, it does at a write to its register 0."""
    device = node("vfio/devices/vfio0")
    os.pwrite(device, struct.pack("<H", 6), CONFIG + 4)
    os.pwrite(device, struct.pack("<I", 1), BAR0)
    os.pread(device, 4, BAR0)
    sys.exit(1)


globals()[sys.argv[1]]()
