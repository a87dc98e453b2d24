/** How the programs of ipvsadm reach the daemon; with UIPVS_AUTOSTART=1 they start one when there is none. */
import { connectDataPlane, type RemoteDataPlane } from '../control/client.ts';
import { IpvsError } from '../model/errors.ts';

export async function connectOrStart(): Promise<RemoteDataPlane> {
  try {
    return await connectDataPlane();
  } catch (error) {
    const nobody = error instanceof IpvsError && error.code === 'ENOPROTOOPT';
    if (!nobody || process.env['UIPVS_AUTOSTART'] !== '1') throw error;
  }
  const [{ startAndConnect }, { fileURLToPath }] = await Promise.all([
    import('../control/autostart.ts'),
    import('node:url'),
  ]);
  const program = fileURLToPath(new URL('./uipvsd.js', import.meta.url));
  return startAndConnect({ command: process.execPath, words: [program, '--log-level', 'warn'] });
}
