/** The words of health checking: what is asked, of whom, and what came back. */

/**
 * One question to one host. Two targets that are equal as JSON, put to the same checker, are the same check and
 * are made once. What a checker does not know it does not read.
 */
export interface CheckTarget {
  /** Numeric address, IPv6 without brackets. */
  readonly address: string;
  readonly port: number;
  /** For each attempt. */
  readonly timeoutMs: number;
  /** Attempts of `ping`; one success is enough. Default 1. */
  readonly attempts?: number;
  /** `dns`, `ftp`, `http`, `ldap`, `simpletcp`: what the answer must match. Absent: any answer will do. */
  readonly receive?: { readonly source: string; readonly flags: string };
  /** `http`: absolute URL, `http:` or `https:`. */
  readonly url?: string;
  readonly method?: 'GET' | 'HEAD';
  /** `http`: the `Host` header; absent: the bare address. */
  readonly virtualHost?: string;
  /** `http`: `address` and `port` are a proxy's. */
  readonly proxy?: boolean;
  /**
   * `simpletcp`: bytes to send, as text. `ftp`: the file to fetch; absent: the login alone is the question. `dns`: the
   * name or address to ask about. `ldap`: the base. `mysql`, `pgsql`: the statement.
   */
  readonly request?: string;
  /** `dns`, `sip`, `simpletcp`: default `tcp`. */
  readonly protocol?: 'tcp' | 'udp';
  /** `imap`, `ldap`, `pop`: over TLS from the first byte. */
  readonly secure?: boolean;
  /** `imap`, `pop`: absent: the greeting alone is the question. `ftp`: default `anonymous`. `sip`: USER@HOST. `ldap`: anonymous without it or without a password. */
  readonly login?: string;
  readonly password?: string;
  /** `mysql`, `pgsql`. */
  readonly database?: string;
  /** `radius`: shared with the server. */
  readonly secret?: string;
  /** `external`: the program, and its arguments. No shell. */
  readonly command?: string;
  readonly arguments?: readonly string[];
}

export interface CheckResult {
  readonly healthy: boolean;
  /** One line for people: a status, or why not. Empty when there is nothing to add. */
  readonly message: string;
  /** `http`: what came when it does not match, for who wants to see more than the message; at most 64 KiB. */
  readonly body?: string;
}

export interface Checker {
  /**
   * Never rejects, and settles at the latest when the target's time is over or `signal` aborts; then nothing of
   * the check is left open.
   */
  check(target: CheckTarget, signal: AbortSignal): Promise<CheckResult>;
  /** Gives back what checks share. */
  close?(): void;
}

export interface CheckerKind {
  readonly name: string;
  readonly summary: string;
  /** Checks of this kind that may be under way at once. */
  readonly concurrencyMax: number;
  create(): Checker;
  /** A sentence why no check of this kind can work on this host, or `null`. */
  refusal?(): Promise<string | null>;
}

export const healthy = (message = ''): CheckResult => ({ healthy: true, message });
export const unhealthy = (message: string): CheckResult => ({ healthy: false, message });
