import { describe, expect, test } from 'vitest';
import { planCheck, refuseUnsupported } from '../../src/ldirectord/checks.ts';
import { ConfigurationError } from '../../src/ldirectord/config/problem.ts';
import { parseConfiguration } from '../../src/ldirectord/config.ts';
import { destinationSpec, fallbackSpec, serviceSpec } from '../../src/ldirectord/specs.ts';

async function plan(lines: string, real = '10.0.0.2:8080 masq', virtual = '10.0.0.1:80') {
  const { virtuals } = await parseConfiguration(`virtual=${virtual}\n\treal=${real}\n${lines}`);
  return planCheck(virtuals[0], virtuals[0].real[0]);
}

describe('the check of a server', () => {
  test('ping has the attempts of checkcount and no port', async () => {
    expect(await plan('\tchecktype=ping\n\tcheckcount=3\n\tchecktimeout=4\n')).toEqual({
      checker: 'ping',
      target: { address: '10.0.0.2', port: 0, timeoutMs: 4_000, attempts: 3 },
    });
  });

  test('connect goes to the check port; for udp services it is a ping', async () => {
    expect(await plan('\tchecktype=connect\n')).toMatchObject({ checker: 'connect', target: { port: 8080 } });
    expect(await plan('\tchecktype=connect\n\tcheckport=22\n')).toMatchObject({ target: { port: 22 } });
    expect(await plan('\tchecktype=connect\n\tprotocol=udp\n')).toMatchObject({ checker: 'ping' });
  });

  test('negotiate over http has the negotiation time, URL, host and pattern', async () => {
    const lines = '\trequest="live"\n\treceive="o.k"\n\tvirtualhost=www.example.com\n\thttpmethod=head\n';
    expect(await plan(lines)).toEqual({
      checker: 'http',
      target: {
        address: '10.0.0.2',
        port: 8080,
        timeoutMs: 30_000,
        method: 'HEAD',
        url: 'http://10.0.0.2:8080/live',
        virtualHost: 'www.example.com',
        receive: { source: 'o[^\\n]k', flags: '' },
      },
    });
  });

  test("a server's own pair replaces that of the service", async () => {
    const own = await plan('\trequest="live"\n\treceive="ok"\n', '10.0.0.2:80 masq "probe","fine"');
    expect(own).toMatchObject({ target: { url: 'http://10.0.0.2:80/probe', receive: { source: 'fine' } } });
  });

  test('a number combines negotiation and connection, each with its own time', async () => {
    expect(await plan('\tchecktype=3\n\tchecktimeout=2\n\tnegotiatetimeout=9\n')).toMatchObject({
      checker: 'http',
      target: { timeoutMs: 9_000 },
      thoroughTimeoutMs: 9_000,
      cheap: { checker: 'connect', timeoutMs: 2_000, count: 3 },
    });
  });

  test('an external program is told service and server', async () => {
    const lines = '\tchecktype=external\n\tcheckcommand=/bin/probe\n\tcheckport=99\n';
    expect(await plan(lines)).toMatchObject({
      target: { command: '/bin/probe', arguments: ['10.0.0.1', '80', '10.0.0.2', '8080'] },
    });
    expect(await plan(lines, '10.0.0.2 gate', '7')).toMatchObject({
      target: { arguments: ['7', '0', '10.0.0.2', '0'] },
    });
  });

  test('simpletcp sends without the slash and with real newlines', async () => {
    const lines = '\tservice=simpletcp\n\trequest="PING\\nQUIT\\n"\n';
    expect(await plan(lines)).toMatchObject({ checker: 'simpletcp', target: { request: 'PING\nQUIT\n' } });
  });

  test('checktype=off has none', async () => {
    expect(await plan('\tchecktype=off\n')).toBeNull();
  });
});

describe('what cannot be done yet is refused with its line', () => {
  test.each([
    ['virtual=10.0.0.1:80\n\tservice=smtp\n\treal=10.0.0.2 masq\n', 2, 'service smtp: not supported yet'],
    ['# mail\nvirtual=10.0.0.1:25\n\treal=10.0.0.2 masq\n', 2, 'chosen by the port'],
    ['virtual=10.0.0.1:80\n\treal=10.0.0.2 masq\n\treceive="a++"\n', 3, 'not supported yet'],
    ['virtual=10.0.0.1:80\n\treal=10.0.0.2 masq "a","(?>b)"\n', 2, 'not supported yet'],
    ['virtual=10.0.0.1:80\n\tschedflags=sh-prot\n\tchecktype=ping\n', 2, 'unknown flag "sh-prot"'],
  ])('%j', async (text, line, words) => {
    const error = await refuseUnsupported(await parseConfiguration(text)).then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toBeInstanceOf(ConfigurationError);
    expect((error as ConfigurationError).line).toBe(line);
    expect((error as ConfigurationError).message).toContain(words);
  });

  test('the same services are welcome when they are only connected to', async () => {
    await refuseUnsupported(
      await parseConfiguration('virtual=10.0.0.1:25\n\treal=10.0.0.2 masq\n\tchecktype=connect\n'),
    );
  });
});

describe('a service in the words of the data plane', () => {
  const first = async (text: string) => (await parseConfiguration(text)).virtuals[0];

  test('flags, persistence, netmask, one-packet', async () => {
    const lines = 'virtual=10.0.0.1:53\n\tops=yes\n\tscheduler=sh\n\tschedflags=sh-port,sh-fallback\n';
    expect(serviceSpec(await first(`${lines}\tpersistent=60\n\tnetmask=255.255.255.0\n`))).toEqual({
      key: { protocol: 'udp', address: '10.0.0.1', port: 53 },
      scheduler: 'sh',
      schedulerFlags: [1, 2],
      persistenceTimeoutSeconds: 60,
      netmask: '255.255.255.0',
      persistenceEngine: null,
      onePacket: true,
    });
  });

  test('a netmask without persistence is not passed on', async () => {
    expect(serviceSpec(await first('virtual=10.0.0.1:80\n\tnetmask=255.255.255.0\n')).netmask).toBe('255.255.255.255');
  });

  test('with direct routing and tunnels the port is the one of the service, with a mark it stays', async () => {
    const gate = await first('virtual=10.0.0.1:80\n\treal=10.0.0.2:8080 gate\n\tfallback=127.0.0.1:8081 ipip\n');
    expect(destinationSpec(gate, gate.real[0])).toMatchObject({ port: 80, method: 'direct' });
    expect(fallbackSpec(gate)).toMatchObject({ port: 80, method: 'tunnel', weight: 1 });
    const mark = await first('virtual=5\n\treal=10.0.0.2:8080 gate\n');
    expect(destinationSpec(mark, mark.real[0]).port).toBe(8080);
  });
});
