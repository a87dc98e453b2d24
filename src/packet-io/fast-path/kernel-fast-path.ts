/** The fast path in the kernel: its programs, and the links they are on. All of it is gone with the process. */
import { Bpf, ProgramRefusedError } from '../../native/bpf.ts';
import { type Libc, LibcError } from '../../native/libc.ts';
import { setPacketProgram } from '../../native/packet-socket.ts';
import type { FastPath } from '../../wire/fast-path.ts';
import type { FrameFilter } from '../packet-io.ts';
import { linkProgram, socketFilter } from './flow-programs.ts';
import { FlowTable } from './flow-table.ts';
import { NOBODY } from './owner.ts';

export class KernelFastPath {
  readonly #libc: Libc;
  readonly #bpf: Bpf;
  readonly #name: string;
  readonly #table: FlowTable;
  readonly #program: number;
  /** Filter of the sockets: the one that was wanted last, and its descriptor, or `null` when the kernel refuses it. */
  #filter: { readonly chosen: FrameFilter; readonly descriptor: number | null };
  /** Descriptor of what holds the program on each link. */
  readonly #links = new Map<number, number>();

  /** `name`: of all it makes, see `ownerName`. Throws a LibcError, or a ProgramRefusedError. */
  constructor(libc: Libc, flowsMax?: number, name: string = NOBODY) {
    this.#libc = libc;
    this.#bpf = new Bpf(libc);
    this.#name = name;
    this.#table = new FlowTable(libc, this.#bpf, name, flowsMax);
    let filter = -1;
    try {
      filter = this.#bpf.loadProgram('filter', socketFilter(this.#table.maps, null), name);
      this.#program = this.#bpf.loadProgram('traffic', linkProgram(this.#table.maps), name);
      this.#filter = { chosen: null, descriptor: filter };
    } catch (error) {
      if (filter >= 0) libc.close(filter);
      this.#table.close();
      throw error;
    }
  }

  get flows(): FastPath {
    return this.#table;
  }

  /**
   * Takes flows that come by this link, whose packet socket is `fd`. The filter of the socket is replaced at once by one
   * that hears of the other frames what `chosen` accepts. False: the kernel does not do that; then everything is as before,
   * and a link that was served still is, with the filter it had.
   */
  serve(linkIndex: number, fd: number, chosen: FrameFilter): boolean {
    const filter = this.#filterFor(chosen);
    if (filter === null) return false;
    const served = this.#links.get(linkIndex);
    let link = served;
    try {
      link ??= this.#bpf.attachIngress(this.#program, linkIndex);
      // In this order: otherwise, between the two, the engine would not hear what nobody else carries.
      setPacketProgram(this.#libc, fd, filter);
    } catch (error) {
      if (!(error instanceof LibcError)) throw error;
      if (link !== undefined && served === undefined) this.#libc.close(link);
      return false;
    }
    this.#links.set(linkIndex, link);
    return true;
  }

  /** Loaded once for all links. Sockets keep the one they have until they get another. */
  #filterFor(chosen: FrameFilter): number | null {
    if (this.#filter.chosen !== chosen) {
      const before = this.#filter.descriptor;
      this.#filter = { chosen, descriptor: this.#load(chosen) };
      if (before !== null) this.#libc.close(before);
    }
    return this.#filter.descriptor;
  }

  #load(chosen: FrameFilter): number | null {
    const instructions = socketFilter(this.#table.maps, chosen);
    try {
      return this.#bpf.loadProgram('filter', instructions, this.#name);
    } catch (error) {
      if (error instanceof LibcError || error instanceof ProgramRefusedError) return null;
      throw error;
    }
  }

  /** Throws a LibcError. */
  tryLink(linkIndex: number): void {
    this.#libc.close(this.#bpf.attachIngress(this.#program, linkIndex));
  }

  /** The packet socket of the link has another filter again, or is about to be closed. */
  leave(linkIndex: number): void {
    const link = this.#links.get(linkIndex);
    if (link === undefined) return;
    this.#links.delete(linkIndex);
    this.#libc.close(link);
  }

  close(): void {
    for (const linkIndex of [...this.#links.keys()]) this.leave(linkIndex);
    this.#libc.close(this.#program);
    if (this.#filter.descriptor !== null) this.#libc.close(this.#filter.descriptor);
    this.#table.close();
  }
}

/** `null` when this kernel has a fast path for us, otherwise one sentence that says why not. */
export function fastPathRefused(libc: Libc): string | null {
  let path: KernelFastPath | null = null;
  try {
    // As large as a worker's: one that is only promised would be missed in silence.
    path = new KernelFastPath(libc);
    path.tryLink(libc.interfaceIndex('lo'));
    return null;
  } catch (error) {
    return sentence(error as Error);
  } finally {
    path?.close();
  }
}

function sentence(error: Error): string {
  if (!(error instanceof LibcError)) return error.message;
  if (error.code === 'EPERM' || error.code === 'EACCES')
    return (
      'the right CAP_BPF or CAP_NET_ADMIN is missing, or the container forbids bpf(2); run as root, or add it ' +
      '(docker: --cap-add=BPF)'
    );
  if (error.code === 'ENOSYS') return 'this kernel has no bpf(2) (CONFIG_BPF_SYSCALL)';
  if (error.code === 'EINVAL') return 'it needs Linux 6.6 or newer';
  return `the kernel refuses (${error.message})`;
}
