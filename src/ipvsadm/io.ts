/**
 * Everything `ipvsadm` needs from outside. The same code runs in the program, in tests and in the player of
 * recordings; only this object differs.
 */
import type { Answer, Command, CommandName } from '../model/commands.ts';
import type { DataPlane } from '../model/data-plane.ts';
import type { IpvsError } from '../model/errors.ts';
import type { ServiceProtocol } from '../model/service.ts';

export interface IpvsadmIo {
  /** The name the program was called by; it appears in one message. */
  readonly programName: string;
  readonly names: NameService;
  /** Text of standard input, in pieces of any size. Asked for by `-R` only. */
  stdin(): AsyncIterable<string>;
  /** May return a promise when the reader is slower than we are; it is awaited. */
  stdout(text: string): void | Promise<void>;
  stderr(text: string): void | Promise<void>;
  /** Rejects with an IpvsError: ENOPROTOOPT when no data plane answers, EPERM when we may not ask. */
  connect(): Promise<IpvsadmTable>;
}

/** The part of a DataPlane that `ipvsadm` uses, and a faster way for `-R`. */
export interface IpvsadmTable extends Pick<DataPlane, 'execute' | 'close'> {
  /**
   * Carries out commands in order, each whether or not the one before was refused, and answers in the same order.
   * Rejects only when the data plane cannot be reached any more.
   */
  executeAll?(commands: readonly Command[]): Promise<readonly CommandOutcome[]>;
}

export type CommandOutcome =
  | { readonly answer: Answer<CommandName>; readonly error?: never }
  | { readonly error: IpvsError; readonly answer?: never };

/** Names of hosts and ports, both ways. */
export interface NameService {
  /** First IPv4 address of a host (`192.0.2.1`), or `null`. Never asked for IPv6. */
  findAddress(host: string): Promise<string | null>;
  /** First name of an IPv4 or IPv6 address, or `null`. */
  findHost(address: string): Promise<string | null>;
  /** Port of a service name for that protocol (/etc/services), or `null`. */
  findPort(service: string, protocol: ServiceProtocol): number | null;
  /** First service name of a port for that protocol, or `null`. */
  findService(port: number, protocol: ServiceProtocol): string | null;
}
