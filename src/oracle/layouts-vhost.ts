/** The calls of vhost-vdpa files as `linux/vhost.h` of Linux 7.3 has them. */
import { chars, s32, u8, u16, u32, u64 } from '../uapi/struct.js';
import { type Layout, vhost } from './layout.js';

const state = { index: u32, num: u32 };
const file = { index: u32, fd: s32 };
/** Bytes of configuration space that a call below has room for. */
export const CONFIG_DATA = 256;
const config = { off: u32, len: u32, buf: chars(CONFIG_DATA) };
const CONFIG_HEAD = 8;
const ofQueue = { telling: ['index'] };

export const vhostLayouts = {
  VHOST_GET_FEATURES: vhost('GET_FEATURES', 'read', 0x00, { features: u64 }),
  VHOST_SET_FEATURES: vhost('SET_FEATURES', 'write', 0x00, { features: u64 }, { telling: ['features'] }),
  VHOST_SET_OWNER: vhost('SET_OWNER', 'none', 0x01, {}),
  VHOST_RESET_OWNER: vhost('RESET_OWNER', 'none', 0x02, {}),
  VHOST_SET_MEM_TABLE: vhost('SET_MEM_TABLE', 'write', 0x03, { nregions: u32, padding: u32 }),
  VHOST_SET_LOG_BASE: vhost('SET_LOG_BASE', 'write', 0x04, { base: u64 }),
  VHOST_SET_LOG_FD: vhost('SET_LOG_FD', 'write', 0x07, { fd: s32 }),
  VHOST_SET_VRING_NUM: vhost('SET_VRING_NUM', 'write', 0x10, state, { telling: ['num'] }),
  VHOST_SET_VRING_ADDR: vhost('SET_VRING_ADDR', 'write', 0x11, {
    index: u32,
    flags: u32,
    desc_user_addr: u64,
    used_user_addr: u64,
    avail_user_addr: u64,
    log_guest_addr: u64,
  }),
  VHOST_SET_VRING_BASE: vhost('SET_VRING_BASE', 'write', 0x12, state, { telling: ['num'] }),
  VHOST_GET_VRING_BASE: vhost('GET_VRING_BASE', 'both', 0x12, state),
  VHOST_SET_VRING_ENDIAN: vhost('SET_VRING_ENDIAN', 'write', 0x13, state),
  VHOST_GET_VRING_ENDIAN: vhost('GET_VRING_ENDIAN', 'write', 0x14, state),
  VHOST_SET_VRING_KICK: vhost('SET_VRING_KICK', 'write', 0x20, file),
  VHOST_SET_VRING_CALL: vhost('SET_VRING_CALL', 'write', 0x21, file),
  VHOST_SET_VRING_ERR: vhost('SET_VRING_ERR', 'write', 0x22, file),
  VHOST_SET_VRING_BUSYLOOP_TIMEOUT: vhost('SET_VRING_BUSYLOOP_TIMEOUT', 'write', 0x23, state),
  VHOST_GET_VRING_BUSYLOOP_TIMEOUT: vhost('GET_VRING_BUSYLOOP_TIMEOUT', 'write', 0x24, state),
  VHOST_SET_BACKEND_FEATURES: vhost(
    'SET_BACKEND_FEATURES',
    'write',
    0x25,
    { features: u64 },
    { telling: ['features'] },
  ),
  VHOST_GET_BACKEND_FEATURES: vhost('GET_BACKEND_FEATURES', 'read', 0x26, { features: u64 }),
  VHOST_SET_FORK_FROM_OWNER: vhost('SET_FORK_FROM_OWNER', 'write', 0x84, { fork_owner: u8 }),
  VHOST_GET_FORK_FROM_OWNER: vhost('GET_FORK_FROM_OWNER', 'read', 0x85, { fork_owner: u8 }),
  VHOST_VDPA_GET_DEVICE_ID: vhost('VDPA_GET_DEVICE_ID', 'read', 0x70, { id: u32 }),
  VHOST_VDPA_GET_STATUS: vhost('VDPA_GET_STATUS', 'read', 0x71, { status: u8 }),
  VHOST_VDPA_SET_STATUS: vhost('VDPA_SET_STATUS', 'write', 0x72, { status: u8 }, { telling: ['status'] }),
  VHOST_VDPA_GET_CONFIG: vhost('VDPA_GET_CONFIG', 'read', 0x73, config, { bytes: CONFIG_HEAD }),
  VHOST_VDPA_SET_CONFIG: vhost('VDPA_SET_CONFIG', 'write', 0x74, config, { bytes: CONFIG_HEAD }),
  VHOST_VDPA_SET_VRING_ENABLE: vhost('VDPA_SET_VRING_ENABLE', 'write', 0x75, state, { telling: ['num'] }),
  VHOST_VDPA_GET_VRING_NUM: vhost('VDPA_GET_VRING_NUM', 'read', 0x76, { num: u16 }),
  VHOST_VDPA_SET_CONFIG_CALL: vhost('VDPA_SET_CONFIG_CALL', 'write', 0x77, { fd: s32 }),
  VHOST_VDPA_GET_IOVA_RANGE: vhost('VDPA_GET_IOVA_RANGE', 'read', 0x78, { first: u64, last: u64 }),
  VHOST_VDPA_GET_CONFIG_SIZE: vhost('VDPA_GET_CONFIG_SIZE', 'read', 0x79, { config_size: u32 }),
  VHOST_VDPA_GET_AS_NUM: vhost('VDPA_GET_AS_NUM', 'read', 0x7a, { count: u32 }),
  VHOST_VDPA_GET_VRING_GROUP: vhost('VDPA_GET_VRING_GROUP', 'both', 0x7b, state, ofQueue),
  VHOST_VDPA_SET_GROUP_ASID: vhost('VDPA_SET_GROUP_ASID', 'write', 0x7c, state, { telling: ['num'] }),
  VHOST_VDPA_SUSPEND: vhost('VDPA_SUSPEND', 'none', 0x7d, {}),
  VHOST_VDPA_RESUME: vhost('VDPA_RESUME', 'none', 0x7e, {}),
  VHOST_VDPA_GET_VRING_DESC_GROUP: vhost('VDPA_GET_VRING_DESC_GROUP', 'both', 0x7f, state, ofQueue),
  VHOST_VDPA_GET_VQS_COUNT: vhost('VDPA_GET_VQS_COUNT', 'read', 0x80, { count: u32 }),
  VHOST_VDPA_GET_GROUP_NUM: vhost('VDPA_GET_GROUP_NUM', 'read', 0x81, { count: u32 }),
  VHOST_VDPA_GET_VRING_SIZE: vhost('VDPA_GET_VRING_SIZE', 'both', 0x82, state, ofQueue),
  VHOST_GET_FEATURES_ARRAY: vhost(
    'GET_FEATURES_ARRAY',
    'read',
    0x83,
    { count: u64, features0: u64, features1: u64 },
    { bytes: 8 },
  ),
  VHOST_SET_FEATURES_ARRAY: vhost(
    'SET_FEATURES_ARRAY',
    'write',
    0x83,
    { count: u64, features0: u64, features1: u64 },
    { bytes: 8 },
  ),
} as const satisfies Record<string, Layout>;
