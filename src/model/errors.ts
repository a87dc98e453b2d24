/**
 * A refused wish: of the operator, a file or the network. `code` is for programs, `message` for people;
 * the message names the thing and, where there is one, the way out.
 */

/** errno names, as the kernel answers (ipvsadm(8) turns them into its sentences), and two of our own. */
export type ErrorCode =
  | 'EEXIST'
  | 'ESRCH'
  | 'ENOENT'
  | 'EINVAL'
  | 'ERANGE'
  | 'EPERM'
  | 'ENODEV'
  | 'ENOMEM'
  | 'ENOBUFS'
  | 'EBUSY'
  | 'EAFNOSUPPORT'
  | 'EOPNOTSUPP'
  | 'EFAULT'
  /** No data plane answers (ipvsadm: "Protocol not available"). */
  | 'ENOPROTOOPT'
  /** The data plane failed while it carried out the command. */
  | 'EIO';

export class IpvsError extends Error {
  override readonly name = 'IpvsError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The one wording for what a later release brings. */
export function notSupportedYet(what: string): IpvsError {
  return new IpvsError('EOPNOTSUPP', `${what}: not supported yet`);
}
