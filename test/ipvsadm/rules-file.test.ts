import { describe, expect, test } from 'vitest';
import { readRulesFile } from '../../src/ipvsadm/rules-file.ts';
import { FileRefused, formatProblemLine } from '../../src/model/file-problem.ts';

const names = {
  findAddress: async () => null,
  findHost: async () => null,
  findPort: () => null,
  findService: () => null,
};
const read = (text: string) => readRulesFile(text, names);

async function problemsOf(text: string): Promise<string[]> {
  const error = await read(text).then(
    () => null,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(FileRefused);
  return (error as FileRefused).problems.map((problem) => formatProblemLine('f', problem).replace('f:', ''));
}

describe('a rules file', () => {
  test('is played line by line: what is deleted is not there, what is edited is changed', async () => {
    const { blueprint, warnings } = await read(
      'ipvsadm -A -t 192.0.2.1:80 -s rr\n-a -t 192.0.2.1:80 -r 10.0.0.1:80 -m -x 9\n-a -t 192.0.2.1:80 -r 10.0.0.2 -g\n' +
        '-e -t 192.0.2.1:80 -r 10.0.0.1:80 -m -w 7\n-d -t 192.0.2.1:80 -r 10.0.0.2\n-A -f 7 -6 -p\n--set 1 2 0\n\n' +
        '-A -t 192.0.2.9:80\n-D -t 192.0.2.9:80\n--start-daemon backup --syncid 3\n',
    );
    expect(warnings).toEqual([]);
    expect(blueprint.services.map(({ key, place }) => [key, place.line])).toEqual([
      [{ protocol: 'tcp', address: '192.0.2.1', port: 80 }, 1],
      [{ mark: 7, family: 'ipv6' }, 6],
    ]);
    expect(blueprint.services[0]!.servers).toMatchObject([{ address: '10.0.0.1', weight: 7, upperThreshold: 0 }]);
    expect(blueprint.services[1]!.persistence).toEqual({ timeoutSeconds: 360, netmask: null, engine: null });
    expect(blueprint.timeouts).toEqual({ tcpSeconds: 1, tcpFinSeconds: 2 });
    expect(blueprint.syncDaemons).toMatchObject([{ role: 'backup', syncId: 3, interface: 'eth0' }]);
  });

  test('with comments is read, though ipvsadm would not', async () => {
    const { warnings } = await read('# empty rules file for ipvsadm\n');
    expect(warnings).toEqual([
      { place: { line: 1, column: 1 }, text: expect.stringContaining('has no comments and stops here') },
    ]);
  });

  test.each([
    [
      'a word that is no command',
      'add -t 192.0.2.1:80\n',
      '1:1: "add" is no command of ipvsadm; lines begin with -A or -a',
    ],
    ['a service that is none', '-A -t 192.0.2.1\n', '1:1: Zero port specified for non-persistent service'],
    ['a wrong option', '  -A -t 192.0.2.1:80 --schedular rr\n', '1:3: --schedular: unknown option'],
    [
      'a server of no service',
      '-a -t 192.0.2.1:80 -r 10.0.0.1\n',
      '1:1: tcp 192.0.2.1:80: there is no such service above',
    ],
    [
      'a service twice',
      '-A -t 192.0.2.1:80\n-A -t 192.0.2.1:80\n',
      '2:1: tcp 192.0.2.1:80: the service is there already',
    ],
    [
      'a server twice',
      '-A -t 192.0.2.1:80\n-a -t 192.0.2.1:80 -r 10.0.0.1\n-a -t 192.0.2.1:80 -r 10.0.0.1\n',
      '3:1: 10.0.0.1:80: the server is there already',
    ],
  ])('is refused with its line: %s', async (_, text, problem) => {
    expect(await problemsOf(text)).toEqual([problem]);
  });
});
