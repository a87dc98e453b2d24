/** What servers speak, by the names of ldirectord(8), and the port each is usually found at; `null`: none. */

export const APPLICATION_PORTS = {
  dns: 53,
  ftp: 21,
  http: 80,
  https: 443,
  http_proxy: 3128,
  imap: 143,
  imaps: 993,
  ldap: 389,
  ldaps: 636,
  mysql: 3306,
  nntp: 119,
  none: null,
  oracle: 1521,
  pgsql: 5432,
  pop: 110,
  pops: 995,
  radius: 1812,
  simpletcp: null,
  sip: 5060,
  smtp: 25,
  submission: 587,
} as const;

export type Application = keyof typeof APPLICATION_PORTS;
export const APPLICATIONS = Object.keys(APPLICATION_PORTS) as Application[];

/** `none` for a port that is nobody's. */
export function applicationOfPort(port: number): Application {
  return APPLICATIONS.find((name) => APPLICATION_PORTS[name] === port) ?? 'none';
}
