/** Self-signed certificates for tests: one of today and one of the past. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificate {
  readonly key: string;
  readonly cert: string;
  /** The same, as files. */
  readonly keyPath: string;
  readonly certPath: string;
}

export interface Certificates {
  readonly valid: Certificate;
  readonly expired: Certificate;
  remove(): void;
}

const CA_CONFIGURATION = `[ca]
default_ca = own
[own]
new_certs_dir = .
database = index
serial = serial
default_md = sha256
policy = any
[any]
commonName = supplied
`;

export function createCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'uipvs-certificates-'));
  const openssl = (...words: string[]) => execFileSync('openssl', words, { cwd: folder, stdio: 'pipe' });
  const certificate = (name: string): Certificate => {
    const [keyPath, certPath] = [join(folder, 'key'), join(folder, name)];
    return { key: readFileSync(keyPath, 'utf8'), cert: readFileSync(certPath, 'utf8'), keyPath, certPath };
  };
  const subject = ['-subj', '/CN=uipvs.test'];
  openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, '-keyout', 'key', '-out', 'valid');
  // Only the authority's command can sign for a time that has passed.
  writeFileSync(join(folder, 'ca.conf'), CA_CONFIGURATION);
  writeFileSync(join(folder, 'index'), '');
  writeFileSync(join(folder, 'serial'), '01\n');
  openssl('req', '-new', '-key', 'key', ...subject, '-out', 'request');
  const past = ['-startdate', '20200101000000Z', '-enddate', '20200102000000Z'];
  openssl(
    'ca',
    '-batch',
    '-config',
    'ca.conf',
    '-selfsign',
    '-keyfile',
    'key',
    '-in',
    'request',
    '-out',
    'expired',
    ...past,
  );
  return {
    valid: certificate('valid'),
    expired: certificate('expired'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
