/** A director with a fast path between two links: frames come in by the first, and what a flow has leaves by the second. */
import { getLibc } from '../../../src/native/libc.ts';
import { fastPathRefused } from '../../../src/packet-io/fast-path/kernel-fast-path.ts';
import { packetRing } from '../../../src/packet-io/packet-ring.ts';
import { createLiveRig, type LiveRig, type LiveSubject } from '../live-conformance.ts';
import type { AgentProgram } from './agent-process.ts';
import { flowOf } from './flows.ts';
import { type PacketSpec, packetFrame } from './frames.ts';
import { namespacesRefused } from './namespaces.ts';

export const MTU = 1500;
const NEXT_HOP_MAC = '02000000beef';

export const WITH_FAST_PATH: LiveSubject = {
  kind: 'packet-ring',
  refused: (await packetRing.unavailable()) ?? fastPathRefused(getLibc()),
  losesFirstFrame: false,
  linkDownRefused: null,
  options: { fastPath: true },
};
export const flowRigRefused: string | null = WITH_FAST_PATH.refused ?? namespacesRefused();

export interface FlowCounted {
  readonly packets: number;
  readonly bytes: number;
  /** Since the last of them. */
  readonly agoMs: number;
}

export class FlowRig {
  readonly live: LiveRig;
  readonly #macs: readonly string[];

  private constructor(live: LiveRig) {
    this.live = live;
    this.#macs = ['d0', 'd1'].map((name) => Buffer.from(live.spaces.link(live.director, name).mac).toString('hex'));
  }

  static async create(program: AgentProgram): Promise<FlowRig> {
    const live = await createLiveRig(program, WITH_FAST_PATH, 2);
    await live.agent.order('collectIp', { on: true });
    await live.far.order('collectIp', { on: true });
    return new FlowRig(live);
  }

  close(): Promise<void> {
    return this.live.close();
  }

  /** The flow's number, or -1. */
  addFlow(came: PacketSpec, left: PacketSpec, mtu: number = MTU): Promise<number> {
    const way = {
      linkIndex: this.live.links[1],
      destinationMac: NEXT_HOP_MAC,
      sourceMac: this.#macs[1],
      mtu,
    };
    return this.live.agent.order('addFlow', { flow: { ...flowOf(came, left), ...way } });
  }

  removeFlow(flow: number): Promise<void> {
    return this.live.agent.order('removeFlow', { flow });
  }

  takeFlow(flow: number): Promise<FlowCounted | null> {
    return this.live.agent.order('takeFlow', { flow });
  }

  incoming(spec: PacketSpec): Buffer {
    return packetFrame({ ...spec, destinationMac: this.#macs[0] as string });
  }

  outgoing(spec: PacketSpec): Buffer {
    return packetFrame({ hops: 63, ...spec, destinationMac: NEXT_HOP_MAC, sourceMac: this.#macs[1] as string });
  }

  /** Sends frames to the first link, one behind the other. `flags` are those of the virtio-net header. */
  sendIn(frames: readonly Buffer[], flags = 0): Promise<number> {
    const link = this.live.outsideLinks[0] as number;
    return this.live.outside.send(frames.map((frame) => ({ link, frame: frame.toString('hex'), flags })));
  }
}
