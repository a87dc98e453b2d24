/** The fast path in the kernel: its programs, and the links they are on. All of it is gone with the process. */
import { Bpf } from '../../native/bpf.ts';
import { type Libc, LibcError } from '../../native/libc.ts';
import { setPacketProgram } from '../../native/packet-socket.ts';
import type { FastPath } from '../../wire/fast-path.ts';
import { linkProgram, socketFilter } from './flow-programs.ts';
import { FlowTable } from './flow-table.ts';

export class KernelFastPath {
  readonly #libc: Libc;
  readonly #bpf: Bpf;
  readonly #table: FlowTable;
  readonly #filter: number;
  readonly #program: number;
  /** Descriptor of what holds the program on each link. */
  readonly #links = new Map<number, number>();

  /** Throws a LibcError, or an Error with the verifier's words. */
  constructor(libc: Libc, flowsMax?: number) {
    this.#libc = libc;
    this.#bpf = new Bpf(libc);
    this.#table = new FlowTable(libc, this.#bpf, flowsMax);
    let filter = -1;
    try {
      filter = this.#bpf.loadProgram('filter', socketFilter(this.#table.maps), 'uipvs_filter');
      this.#program = this.#bpf.loadProgram('traffic', linkProgram(this.#table.maps), 'uipvs_flows');
      this.#filter = filter;
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
   * Takes flows that come by this link, whose packet socket is `fd`; its filter is replaced. Throws a LibcError when that
   * is not possible; then everything is as before.
   */
  serve(linkIndex: number, fd: number): void {
    const link = this.#bpf.attachIngress(this.#program, linkIndex);
    try {
      // In this order: between the two the engine would not hear what nobody else carries.
      setPacketProgram(this.#libc, fd, this.#filter);
    } catch (error) {
      this.#libc.close(link);
      throw error;
    }
    this.#links.set(linkIndex, link);
  }

  /** Throws as `serve`. */
  tryLink(linkIndex: number): void {
    this.#libc.close(this.#bpf.attachIngress(this.#program, linkIndex));
  }

  /** The packet socket of the link is closed, or about to be. */
  leave(linkIndex: number): void {
    const link = this.#links.get(linkIndex);
    if (link === undefined) return;
    this.#links.delete(linkIndex);
    this.#libc.close(link);
  }

  close(): void {
    for (const linkIndex of [...this.#links.keys()]) this.leave(linkIndex);
    this.#libc.close(this.#program);
    this.#libc.close(this.#filter);
    this.#table.close();
  }
}

/** `null` when this kernel has a fast path for us, otherwise one sentence that says why not. */
export function fastPathRefused(libc: Libc): string | null {
  let path: KernelFastPath | null = null;
  try {
    path = new KernelFastPath(libc, 2);
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
