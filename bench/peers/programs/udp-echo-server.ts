/** Sends every datagram back at once; words: address, port. Blocks in the system call, so that no event loop adds to what is measured. */
import { getLibc, SOCK_CLOEXEC } from '../../../src/native/libc.ts';
import { NativeMemory } from '../../../src/native/native-memory.ts';
import { socketAddress } from './parse.ts';

const AF_INET = 2;
const SOCK_DGRAM = 2;
const BUFFER_BYTES = 2048;
/** struct mmsghdr with the sender's address and one buffer, on 64-bit little-endian Linux. */
const NAME_AT = 0;
const NAME_LENGTH_AT = 8;
const VECTOR_AT = 16;
const VECTOR_COUNT_AT = 24;
const LENGTH_AT = 56;
const SENDER_AT = 64;
const VECTORS_AT = 96;

const libc = getLibc();
const fd = libc.socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
libc.bind(fd, socketAddress(process.argv[2], Number(process.argv[3])));
const message = new NativeMemory(libc, 4096);
const buffer = new NativeMemory(libc, BUFFER_BYTES);
const { view, address } = message;
view.setBigUint64(NAME_AT, BigInt(address + SENDER_AT), true);
view.setBigUint64(VECTOR_AT, BigInt(address + VECTORS_AT), true);
view.setBigUint64(VECTOR_COUNT_AT, 1n, true);
view.setBigUint64(VECTORS_AT, BigInt(buffer.address), true);
for (;;) {
  view.setUint32(NAME_LENGTH_AT, 16, true);
  view.setBigUint64(VECTORS_AT + 8, BigInt(BUFFER_BYTES), true);
  if (libc.recvmmsg(fd, address, 1, 0) !== 1) continue;
  view.setBigUint64(VECTORS_AT + 8, BigInt(view.getUint32(LENGTH_AT, true)), true);
  libc.sendmmsg(fd, address, 1, 0);
}
