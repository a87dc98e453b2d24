/** FTP through NAT: vsftpd on the servers, curl as the client, data connections in every way that FTP knows. */
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { endpoint } from '../addresses.ts';
import { serviceConfiguration } from '../configuration.ts';
import type { RunLabOptions } from '../options.ts';
import { watched } from '../requests.ts';
import type { Lab } from '../run.ts';
import { type LabServers, startLoggingServers } from '../servers.ts';
import { type LabServer, type LabTopology, realServers, tutorialTopology } from '../topology.ts';
import type { TrafficResult } from '../traffic.ts';
import type { ScenarioKind, ScenarioRun } from './kind.ts';

const FTP_PORT = 21;
const FILE = 'file.bin';
/** More than the windows of both ends take at once. */
const FILE_BYTES = 300_000;
const TRANSFER_SECONDS_MAX = 5;
/** So many failures in a row, one by every way, and the rest counts as failed. */
const FRUITLESS_MAX = 4;

/** How the client asks for its data connection, and the words that make curl ask so (RFC 959, RFC 2428). */
const WAYS: readonly (readonly [name: string, words: readonly string[]])[] = [
  ['EPSV', []],
  ['PASV', ['--disable-epsv', '--no-ftp-skip-pasv-ip']],
  ['EPRT', ['--ftp-port', '-']],
  ['PORT', ['--ftp-port', '-', '--disable-eprt']],
];

export const ftp: ScenarioKind = {
  name: 'ftp',
  summary: 'three FTP servers (vsftpd) behind NAT, files fetched by curl: passive and active, every file compared',
  modes: ['masq'],
  families: ['ipv4'],
  requests: 12,
  concurrency: 1,
  breakable: false,
  client: 'curl',
  connectionPerRequest: () => true,
  programs: ['ss', 'vsftpd', 'curl'],
  topology: topologyOf,
  configuration: (options) =>
    serviceConfiguration(topologyOf(options), { scheduler: options.scheduler, protocol: 'tcp', checktype: 'ping' }),
  healthChecks: 'uldirectord',
  startServers,
  send: (run) => watched(run, () => fetchFiles(run)),
  remarks: ({ failed }) =>
    failed > 0
      ? []
      : ['Every file came as it lies on its server, by passive (EPSV, PASV) and active FTP (EPRT, PORT).'],
};

function topologyOf({ mode, family }: RunLabOptions): LabTopology {
  // Without a way past the balancer a data connection works through it or not at all.
  return tutorialTopology(mode, { family, port: FTP_PORT, fallback: false, forwarding: false });
}

/** One vsftpd for each server, with a file of its own. The server runs as the lab does; nobody else can reach it. */
function startServers(lab: Lab, signal: AbortSignal): Promise<LabServers> {
  for (const server of realServers(lab.topology)) {
    const folder = lab.path(`ftp/${server.name}`);
    for (const name of ['files', 'empty']) mkdirSync(`${folder}/${name}`, { recursive: true, mode: 0o755 });
    writeFileSync(`${folder}/files/${FILE}`, randomBytes(FILE_BYTES));
    writeFileSync(`${folder}/vsftpd.conf`, vsftpdConfiguration(server, folder));
  }
  const program = {
    command: (server: LabServer) => ['vsftpd', lab.path(`ftp/${server.name}/vsftpd.conf`)],
    socket: '-t',
    log: (server: LabServer) => `ftp/${server.name}/log`,
    served: / OK DOWNLOAD: /g,
  } as const;
  return startLoggingServers(lab, program, signal);
}

/** Source: vsftpd.conf(5). */
function vsftpdConfiguration({ listenOn, port }: LabServer, folder: string): string {
  return `listen=YES
background=NO
listen_address=${listenOn}
listen_port=${port}
anonymous_enable=YES
no_anon_password=YES
anon_root=${folder}/files
secure_chroot_dir=${folder}/empty
run_as_launching_user=YES
ftp_username=root
seccomp_sandbox=NO
connect_from_port_20=YES
xferlog_enable=YES
vsftpd_log_file=${folder}/log
`;
}

/** One file after the other, each by the next way. */
async function fetchFiles(run: ScenarioRun): Promise<TrafficResult> {
  const { lab, options, progress } = run;
  const { requests } = options;
  const url = `ftp://${endpoint(lab.topology.virtualAddress, lab.topology.virtualPort)}/${FILE}`;
  progress.step(`client: curl ${url}, ${requests} times, by ${WAYS.map(([name]) => name).join(', ')} in turns`);
  const originals = realServers(lab.topology).map(({ name }) => readFileSync(lab.path(`ftp/${name}/files/${FILE}`)));
  const begunMs = performance.now();
  let failed = 0;
  let fruitless = 0;
  for (let i = 0; i < requests; i++) {
    if (fruitless === FRUITLESS_MAX) {
      failed += requests - i;
      break;
    }
    const way = WAYS[i % WAYS.length];
    const problem = await fetchFile(run, url, way[1], originals);
    fruitless = problem === null ? 0 : fruitless + 1;
    if (problem === null) continue;
    failed += 1;
    progress.notice(`transfer ${i + 1} (${way[0]}) failed: ${problem}`);
  }
  const seconds = (performance.now() - begunMs) / 1000;
  return { requests, failed, seconds, requestsPerSecond: Math.round(((requests - failed) / seconds) * 100) / 100 };
}

/** `null` when the file came whole, or what went wrong. */
async function fetchFile(
  { lab, signal }: ScenarioRun,
  url: string,
  words: readonly string[],
  originals: readonly Buffer[],
): Promise<string | null> {
  const fetched = lab.path(`ftp/${FILE}`);
  rmSync(fetched, { force: true });
  const limits = ['--max-time', String(TRANSFER_SECONDS_MAX), '--noproxy', '*'];
  const command = ['curl', '--silent', '--show-error', ...limits, ...words, '--output', fetched, url];
  const { code, stderr } = await lab.run(lab.client, command, { signal });
  if (code !== 0) return stderr.trim() || `curl ended with ${code}`;
  const content = readFileSync(fetched);
  if (originals.some((original) => original.equals(content))) return null;
  return `its ${content.length} bytes are not those of any server's file`;
}
