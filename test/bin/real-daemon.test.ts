/** The programs against the real `uipvsd`, in a network namespace of its own. Root only. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildForProcesses } from '../support/built.ts';
import { temporaryDirectory } from '../support/served.ts';

const NAMESPACE = `uipvs-drop-${process.pid}`;
const directory = temporaryDirectory();
let built = '';

/** As typed in the namespace into a shell that finds `ipvsadm` and `uipvs`. */
function shell(command: string, environment: NodeJS.ProcessEnv = {}): string {
  return execFileSync('ip', ['netns', 'exec', NAMESPACE, 'bash', '-c', command], {
    encoding: 'utf8',
    env: {
      ...process.env,
      PATH: `${join(directory, 'sbin')}:${process.env['PATH']}`,
      UIPVS_SOCKET: join(directory, 'uipvsd.sock'),
      ...environment,
    },
    maxBuffer: 64 * 1024 * 1024,
  });
}

/** Everything that `-S` can tell, in its order and its words. */
const TABLE = `-A -t 192.0.2.1:80 -s wrr
-a -t 192.0.2.1:80 -r 10.0.0.1:8080 -m -w 5
-a -t 192.0.2.1:80 -r 10.0.0.2:80 -g -w 0
-A -t 192.0.2.9:0 -s lc -p 60 -M 255.255.255.0
-a -t 192.0.2.9:0 -r 10.0.0.9:0 -m -w 1
-A -u 192.0.2.1:53 -s rr -o
-a -u 192.0.2.1:53 -r 10.0.0.3:53 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum
-a -u 192.0.2.1:53 -r 10.0.0.4:53 -i -w 1 --tun-type gre --tun-nocsum
-a -u 192.0.2.1:53 -r 10.0.0.5:53 -i -w 1 --tun-type gue --tun-port 6081 --tun-remcsum
-a -u 192.0.2.1:53 -r 10.0.0.6:53 -i -w 1 --tun-type ipip
-A -u 192.0.2.4:5060 -s rr -p 30 --pe sip
-A --sctp-service 192.0.2.1:99 -s sed -b flag-3
-A -t [2001:db8::1]:443 -s mh -b mh-fallback,mh-port
-a -t [2001:db8::1]:443 -r [2001:db8::2]:443 -m -w 3
-A -f 7 -s sh -b sh-fallback,sh-port
-a -f 7 -r 10.0.0.3:0 -g -w 1
-A -f 8 -6 -s wlc -p 300 -M 64
-a -f 8 -6 -r [2001:db8::5]:0 -g -w 1
`;

describe.skipIf(process.getuid?.() !== 0)('ipvsadm and uipvsd', () => {
  beforeAll(() => {
    built = buildForProcesses();
    const links = join(directory, 'sbin');
    mkdirSync(links);
    for (const [name, program] of Object.entries({
      ipvsadm: 'uipvsadm',
      'ipvsadm-save': 'uipvsadm-save',
      'ipvsadm-restore': 'uipvsadm-restore',
      uipvs: 'uipvs',
    })) {
      const file = join(built, `src/bin/${program}.js`);
      chmodSync(file, 0o755);
      symlinkSync(file, join(links, name));
    }
    execFileSync('ip', ['netns', 'add', NAMESPACE]);
    execFileSync('ip', ['-n', NAMESPACE, 'link', 'set', 'lo', 'up']);
    // The daemon for all tests is the one that the first ipvsadm starts.
    shell('ipvsadm -Ln', { UIPVS_AUTOSTART: '1' });
  });
  afterAll(() => {
    try {
      shell(
        `kill $(cat ${join(directory, 'uipvsd.pid')}); while [ -e ${join(directory, 'uipvsd.pid')} ]; do sleep 0.1; done`,
      );
    } finally {
      execFileSync('ip', ['netns', 'delete', NAMESPACE]);
    }
  });

  test('what was saved, cleared and restored is saved again to the same bytes', () => {
    const file = join(directory, 'table');
    writeFileSync(file, TABLE);
    shell(`ipvsadm-restore < ${file}`);
    const saved = shell('ipvsadm-save -n');
    expect(saved).toBe(TABLE);
    shell('ipvsadm -C');
    expect(shell('ipvsadm-save -n')).toBe('');
    writeFileSync(file, saved);
    shell(`ipvsadm-restore < ${file}`);
    expect(shell('ipvsadm-save -n')).toBe(saved);
    // Sorted by `ipvsadm`, listed by `uipvs` as the table has them: the same services.
    expect(JSON.parse(shell('uipvs services --json'))).toHaveLength(saved.match(/^-A/gm)?.length ?? 0);
  });

  test('a thousand services with ten servers each are restored in one connection, all of them', () => {
    const lines: string[] = [];
    for (let service = 0; service < 1_000; service++) {
      const address = `10.8.${service >> 8}.${service & 255}:80`;
      lines.push(`-A -t ${address} -s rr`);
      for (let server = 1; server <= 10; server++) lines.push(`-a -t ${address} -r 10.1.0.${server}:8080 -m -w 1`);
    }
    const file = join(directory, 'many');
    writeFileSync(file, `${lines.join('\n')}\n`);
    shell(`ipvsadm -C && ipvsadm -R < ${file}`);
    expect(shell('ipvsadm -Sn').trimEnd().split('\n').sort()).toEqual(lines.sort());
    shell('ipvsadm -C');
  });

  test('the texts of /proc, the settings and the counters come from it', () => {
    shell('ipvsadm -A -t 192.0.2.1:80 -s rr && ipvsadm -a -t 192.0.2.1:80 -r 10.0.0.1 -m');
    expect(shell('uipvs proc ip_vs').split('\n').slice(3)).toEqual([
      'TCP  C0000201:0050 rr  ',
      '  -> 0A000001:0050      Masq    1      0          0         ',
      '',
    ]);
    for (const file of ['ip_vs_app', 'ip_vs_conn', 'ip_vs_conn_sync', 'ip_vs_stats', 'ip_vs_stats_percpu']) {
      expect(shell(`uipvs proc ${file}`)).toMatch(/^.+\n/);
    }
    expect(shell('uipvs sysctl net.ipv4.vs.conn_reuse_mode=0 && uipvs sysctl -n conn_reuse_mode')).toBe(
      'net.ipv4.vs.conn_reuse_mode = 0\n0\n',
    );
    expect(JSON.parse(shell('uipvs stats --json')).services[0].key.port).toBe(80);
  });

  test('--watch goes on until Ctrl-C, in whole lines', () => {
    const lines = shell('timeout --signal INT 1.8 uipvs stats --json --watch; echo "code $?"').trimEnd().split('\n');
    // 124: timeout(1) had to send its signal.
    expect(lines.pop()).toBe('code 124');
    expect(lines.length).toBeGreaterThanOrEqual(1);
    for (const line of lines) expect(JSON.parse(line)).toHaveProperty('totals');
  });
});
