/**
 * A generator that sends nothing: the kernel is asked to run an XDP program on frames of its own as if the interface had
 * just received them, and what the program passes goes up the stack (BPF_PROG_TEST_RUN with live frames, Linux 5.18). A
 * packet costs a fifth of what sending it costs, so the receiver is the limit. Words as of packet-flood.ts, of which the
 * rate and the side are ignored. Prints a `{}` when it begins and what it made, as JSON, at the end.
 */
import { Bpf } from '../../../src/native/bpf.ts';
import { getLibc } from '../../../src/native/libc.ts';
import { NativeMemory } from '../../../src/native/native-memory.ts';
import { EbpfAssembler } from '../../../src/wire/ebpf.ts';
import { FRAME_BYTES, udpFrame } from './flood-frames.ts';

const PROGRAM_TEST_RUN = 10;
const LIVE_FRAMES = 2;
const BATCH = 64;
/** Some milliseconds: setting up a run costs as much as hundreds of frames. */
const FRAMES_A_RUN = 10_000;
const XDP_DROP = 1;
const XDP_PASS = 2;
const RANDOM_NUMBER = 7;
/** Low bytes of the source port, and of a word of the payload that keeps the checksum right. */
const PORT_LOW_AT = 35;
const PAYLOAD_LOW_AT = 43;
/** Where in the memory of the call the frame and struct xdp_md lie. */
const FRAME_AT = 1024;
const CONTEXT_AT = 2048;

const [seconds, , sourceMac, destinationMac, source, destination, sourcePort, destinationPort, flows] =
  process.argv.slice(2) as [string, string, string, string, string, string, string, string, string];
// Ports of flows are told apart by the lower bits of one byte.
const flowsMask = 2 ** Math.floor(Math.log2(Number(flows))) - 1;
const firstPort = Number(sourcePort) & ~flowsMask;
const frame = udpFrame({
  sourceMac,
  destinationMac,
  source,
  destination,
  sourcePort: firstPort,
  destinationPort: Number(destinationPort),
  payloadLow: flowsMask,
});

const libc = getLibc();
const bpf = new Bpf(libc);
const program = bpf.loadProgram('xdp', generator(), 'card_flood');
const memory = new NativeMemory(libc, 4096);
memory.bytes.set(frame, FRAME_AT);
memory.view.setUint32(CONTEXT_AT + 4, FRAME_BYTES, true);
memory.view.setUint32(CONTEXT_AT + 12, libc.interfaceIndex('eth0'), true);
memory.view.setUint32(0, program, true);
memory.view.setUint32(8, FRAME_BYTES, true);
memory.view.setBigUint64(16, BigInt(memory.address + FRAME_AT), true);
memory.view.setUint32(32, FRAMES_A_RUN, true);
memory.view.setUint32(40, 24, true);
memory.view.setBigUint64(48, BigInt(memory.address + CONTEXT_AT), true);
memory.view.setUint32(64, LIVE_FRAMES, true);
memory.view.setUint32(72, BATCH, true);

process.stdout.write('{}\n');
const begun = process.hrtime.bigint();
const endNs = Number(seconds) * 1e9;
let sent = 0;
while (Number(process.hrtime.bigint() - begun) < endNs) {
  libc.bpf(PROGRAM_TEST_RUN, memory.address, 80);
  sent += FRAMES_A_RUN;
}
const elapsed = Number(process.hrtime.bigint() - begun) / 1e9;
process.stdout.write(`${JSON.stringify({ sent, refused: 0, seconds: elapsed })}\n`);

/** Frames are used again as the stack has left them, so all that it may have changed is written anew each time. */
function generator(): Uint8Array {
  const view = new DataView(frame.buffer);
  const code = new EbpfAssembler()
    .load('word', 7, 1, 0)
    .load('word', 3, 1, 4)
    .register('move', 2, 7)
    .value('add', 2, FRAME_BYTES)
    .jumpIfRegister('above', 2, 3, 'drop');
  for (let at = 0; at < PAYLOAD_LOW_AT; at += 4) code.storeValue('word', 7, at, view.getInt32(at, true));
  return code
    .call(RANDOM_NUMBER)
    .value('and', 0, flowsMask)
    .register('move', 2, 0)
    .value('add', 2, firstPort & 0xff)
    .store('byte', 7, PORT_LOW_AT, 2)
    .value('xor', 0, flowsMask)
    .store('byte', 7, PAYLOAD_LOW_AT, 0)
    .value('move', 0, XDP_PASS)
    .exit()
    .label('drop')
    .value('move', 0, XDP_DROP)
    .exit()
    .finish();
}
