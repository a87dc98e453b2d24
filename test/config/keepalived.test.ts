import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { desiredBalancer } from '../../src/config/desired.ts';
import { readKeepalived } from '../../src/config/keepalived/read.ts';
import type { ReadIncludes } from '../../src/config/keepalived/statements.ts';
import type { ReadFile } from '../../src/model/blueprint.ts';
import { FileRefused, formatProblemLine } from '../../src/model/file-problem.ts';

const read = (text: string, includes: ReadIncludes = () => []): ReadFile => readKeepalived(text, includes);
const told = (problems: ReadFile['lost']): string[] =>
  problems.map((problem) => formatProblemLine('f', problem).replace(/^f:\s*/, ''));

function problemsOf(text: string): string[] {
  try {
    read(text);
  } catch (error) {
    if (!(error instanceof FileRefused)) throw error;
    return told(error.problems);
  }
  return [];
}

/** What people have: VRRP, two services, a group, checks of all kinds. */
const REAL = `! Configuration File for keepalived
global_defs {
   notification_email {
     ops@example.com
     night@example.com
   }
   notification_email_from lb@example.com
   smtp_server 192.0.2.25
   router_id LVS_1
   lvs_timeouts tcp 900 tcpfin 30 udp 300
}
$PORT=8080
vrrp_instance VI_1 {
    state MASTER
    virtual_ipaddress {
        192.168.200.16
    }
}
virtual_server_group WEB {
    192.168.200.100-101 80
    fwmark 5
}
virtual_server group WEB {
    delay_loop 6
    lb_algo rr
    lb_kind NAT
    persistence_timeout 50
    persistence_granularity 255.255.255.0
    protocol TCP
    sorry_server 192.168.200.200 1358
    inhibit_on_failure

    real_server 192.168.201.2 $PORT {
        weight 3
        HTTP_GET {
            url {
              path /testurl/test.jsp
              digest 640205b7b0fc66c1ea91c463fac6334d
            }
            url {
              path /testurl2/test.jsp
            }
            connect_timeout 3
            retry 3
            delay_before_retry 3
        }
    }
    real_server 192.168.201.3 \${PORT} {
        weight 1
        HTTP_GET {
            url { path /other }
            connect_timeout 3
            retry 3
            delay_before_retry 3
        }
    }
}
virtual_server 10.10.10.3 1358 {
    lvs_sched sh
    sh-port
    lvs_method TUN type gue port 6080 csum
    ops
    protocol UDP
    quorum 2
    real_server 192.168.200.4 1358 {
        uthreshold 100
        notify_down "/usr/bin/tell down" # why not
        MISC_CHECK { misc_path "/usr/bin/probe -x"  misc_timeout 5 }
    }
}
`;

describe('a file as people have it', () => {
  const { blueprint, lost, warnings } = read(
    REAL.replace(
      'misc_path "/usr/bin/probe -x"  misc_timeout 5',
      '\n misc_path "/usr/bin/probe -x"\n misc_timeout 5\n',
    ),
  );

  test('gives a service for each address and mark of a group', () => {
    expect(blueprint.services.map(({ key }) => key)).toEqual([
      { protocol: 'tcp', address: '192.168.200.100', port: 80 },
      { protocol: 'tcp', address: '192.168.200.101', port: 80 },
      { mark: 5, family: 'ipv4' },
      { protocol: 'udp', address: '10.10.10.3', port: 1358 },
    ]);
  });

  test('has servers, thresholds and tunnels as the table is to have them', () => {
    const { services } = desiredBalancer(blueprint);
    expect(services[0]!.destinations).toMatchObject([
      { address: '192.168.201.2', port: 8080, weight: 3, method: 'masquerade' },
      { address: '192.168.201.3', port: 8080, weight: 1 },
    ]);
    expect(services[0]!.spec).toMatchObject({
      scheduler: 'rr',
      persistenceTimeoutSeconds: 50,
      netmask: '255.255.255.0',
    });
    expect(services[0]!.fallback).toMatchObject({ address: '192.168.200.200', port: 1358 });
    expect(services[3]!.destinations).toMatchObject([
      { method: 'tunnel', tunnel: { type: 'gue', port: 6080, checksum: 'full' }, upperThreshold: 100 },
    ]);
    expect(services[3]!.spec).toMatchObject({ scheduler: 'sh', schedulerFlags: [2], onePacket: true });
  });

  test('has the check, with what differs from server to server', () => {
    const [web, , , udp] = blueprint.services;
    expect(web!.check).toMatchObject({ kind: 'negotiate', application: 'http', request: '/testurl/test.jsp' });
    expect(web!.servers[1]).toMatchObject({ request: '/other', receive: '' });
    expect(web!.watching).toEqual({ intervalMs: 6_000, timeoutMs: 3_000, failures: 4, quiescent: true });
    expect(udp!.check).toMatchObject({ kind: 'external', command: '/usr/bin/probe' });
    expect(udp!.watching).toEqual({ intervalMs: 60_000, timeoutMs: 5_000 });
  });

  test('has mail and timeouts', () => {
    expect(blueprint.watching).toEqual({ alertTo: 'ops@example.com, night@example.com', alertSmtp: '192.0.2.25' });
    expect(blueprint.director.alertFrom).toBe('lb@example.com');
    expect(blueprint.timeouts).toEqual({ tcpSeconds: 900, tcpFinSeconds: 30, udpSeconds: 300 });
  });

  test('what has no place in a blueprint is told with its line, once', () => {
    expect(told(lost)).toEqual([
      '9:4: global_defs: router_id is left out',
      '13:1: vrrp_instance VI_1: left out, only the virtual servers are read',
      '35:9: HTTP_GET: delay_before_retry; a failed check is made again at its usual time',
      '38:15: url: digest is left out',
      '40:13: HTTP_GET: one url is asked here; the first one is used',
      '50:9: HTTP_GET: delay_before_retry; a failed check is made again at its usual time',
      '64:5: quorum is left out',
      '67:9: notify_down is left out',
      '69:2: misc_path: the arguments are left out; the program gets service and server as its arguments',
    ]);
    expect(warnings).toEqual([]);
  });
});

describe('grammar', () => {
  const server = 'real_server 10.0.0.1 80 {\n}\n';

  test('files that are included stand where they are named, and their problems are told there', () => {
    const files: ReadIncludes = (pattern) => (pattern === 'rs.conf' ? [{ path: '/e/rs.conf', text: server }] : []);
    const { blueprint } = read('virtual_server 192.0.2.1 80 {\n  include rs.conf\n}\n', files);
    expect(blueprint.services[0]!.servers).toHaveLength(1);
    const broken: ReadIncludes = () => [{ path: '/e/rs.conf', text: '\n\nreal_server x 80 {\n}\n' }];
    expect(() => read('virtual_server 192.0.2.1 80 {\n  include *.conf\n}\n', broken)).toThrow('needs an address');
  });

  test('an include that brings itself, or nothing, is refused', () => {
    expect(() => read('include a\n', () => [{ path: '/a', text: 'include a\n' }])).toThrow('include each other');
    expect(problemsOf('include a*.conf\n')).toEqual(['1:9: include a*.conf: no such file can be read']);
  });

  test('a brace may stand on the next line, and comments anywhere', () => {
    const text = `virtual_server 192.0.2.1 80 ! web\n{ # here\n  ${server}}\n`;
    expect(read(text).blueprint.services[0]!.servers).toHaveLength(1);
  });

  test('lines for one host of several are told', () => {
    const { lost } = read(`virtual_server 192.0.2.1 80 {\n@main delay_loop 3\n${server}}\n`);
    expect(told(lost)).toEqual(['2:1: a line for @main only is left out']);
  });

  test('an IPv6 service has a prefix length as its mask', () => {
    const text = 'virtual_server 2001:db8::1 80 {\n persistence_timeout\n persistence_granularity 64\n}\n';
    expect(read(text).blueprint.services[0]!.persistence).toEqual({ timeoutSeconds: 360, netmask: '64', engine: null });
  });
});

const service = (...lines: string[]): string => ['virtual_server 192.0.2.1 80 {', ...lines, '}', ''].join('\n');
const real = (...lines: string[]): string => service('real_server 10.0.0.1 80 {', ...lines, '}');

const BROKEN: readonly [name: string, text: string, ...problems: string[]][] = [
  [
    'an open brace',
    'virtual_server 192.0.2.1 80 {\n',
    '1:1: the block of virtual_server is never closed; a } is missing',
  ],
  ['a closing brace too much', `${service()}}\n`, '3:1: a } without a { before it'],
  ['a brace of nobody', '{\n}\n', '1:1: a { without a keyword before it'],
  ['a quote that does not end', service('quorum_up "x'), '2:11: a quoted text that does not end on its line'],
  [
    'a wrong keyword at the top',
    'virtual_sever 192.0.2.1 80 {\n}\n',
    '1:1: unknown keyword virtual_sever, did you mean "virtual_server"?',
  ],
  ['a service without a block', 'virtual_server 192.0.2.1 80\n', '1:1: virtual_server needs a block in braces'],
  [
    'a service without an address',
    'virtual_server web 80 {\n}\n',
    '1:16: virtual_server needs an address and a port, "fwmark NUMBER" or "group NAME", not "web"',
  ],
  [
    'a port that is none',
    'virtual_server 192.0.2.1 http {\n}\n',
    '1:26: the port must be a whole number from 0 to 65535, not "http"',
  ],
  [
    'a mark that is none',
    'virtual_server fwmark 0 {\n}\n',
    '1:23: fwmark must be a whole number from 1 to 4294967295, not "0"',
  ],
  [
    'a group that is none',
    'virtual_server_group WEB {\n}\nvirtual_server group WBE {\n}\n',
    '3:22: there is no virtual_server_group WBE, did you mean "WEB"?',
  ],
  [
    'a wrong keyword in a service',
    service('lb_alog rr'),
    '2:1: virtual_server has no keyword lb_alog, did you mean "lb_algo"?',
  ],
  ['a wrong keyword in a server', real('wieght 1'), '3:1: real_server has no keyword wieght, did you mean "weight"?'],
  [
    'a wrong keyword in a check',
    real('TCP_CHECK {', 'conect_port 1', '}'),
    '4:1: TCP_CHECK has no keyword conect_port, did you mean "connect_port"?',
  ],
  ['a wrong check', real('HTTP_GTE {', '}'), '3:1: real_server has no keyword HTTP_GTE, did you mean "HTTP_GET"?'],
  ['a method that is none', service('lb_kind SNAT'), '2:9: lb_kind must be NAT, DR or TUN, not "SNAT"'],
  [
    'a tunnel that is none',
    service('lvs_method TUN type vxlan'),
    '2:21: lvs_method TUN takes type, port and csum, not vxlan',
  ],
  ['gue without a port', service('lvs_method TUN type gue'), '2:1: lvs_method: gue needs a port'],
  ['a protocol that is none', service('protocol ICMP'), '2:10: protocol must be TCP, UDP or SCTP, not "ICMP"'],
  ['no time', service('delay_loop'), '2:1: delay_loop must be a number of seconds, not nothing'],
  ['a time that is none', service('delay_loop fast'), '2:12: delay_loop must be a number of seconds, not "fast"'],
  [
    'a weight that is none',
    real('weight heavy'),
    '3:8: weight must be a whole number from 0 to 2147483647, not "heavy"',
  ],
  [
    'a server without an address',
    service('real_server web1 80 {', '}'),
    '2:13: real_server needs an address and a port, not "web1"',
  ],
  [
    'a server with a wrong port',
    service('real_server 10.0.0.1 99999 {', '}'),
    '2:22: real_server: the port must be a number from 0 to 65535, not "99999"',
  ],
  ['a service twice', `${service()}${service()}`, '3:1: tcp 192.0.2.1:80 is in this file already'],
  [
    'timeouts that are none',
    'global_defs {\n lvs_timeouts icmp 3\n}\n',
    '2:15: lvs_timeouts takes tcp, tcpfin and udp, not icmp',
  ],
  ['a check without a block', real('HTTP_GET'), '3:1: HTTP_GET needs a block in braces'],
];

describe('a broken file is refused with place and way out', () => {
  test.each(BROKEN)('%s', (_, text, ...problems) => {
    expect(problemsOf(text)).toEqual(problems);
  });

  test('any text is read or refused', () => {
    const pieces = [
      'virtual_server',
      ' ',
      '\n',
      '{',
      '}',
      '192.0.2.1 80',
      'real_server 10.0.0.1 80',
      '"',
      'HTTP_GET',
      'url',
      '$A=',
      '$A',
      '!',
      'weight 1',
    ];
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 4 })), { maxLength: 25 }),
        (parts) => {
          problemsOf(parts.join(''));
        },
      ),
      { numRuns: 500 },
    );
  });
});
