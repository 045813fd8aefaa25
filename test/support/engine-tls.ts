/** A real engine of the bed that listens on TCP with TLS, as dockerd does with --tlsverify. In: a CA. Out: `DockerURL`s. */
import type { Swarm } from './bed.ts';
import type { CertificateAuthority } from './certificates.ts';
import { eventually } from './eventually.ts';

/** All nodes, whose engines start anew for it: for a Swarm that has no services yet. Returns one URL for each node. */
export async function listenOverTls(swarm: Swarm, authority: CertificateAuthority): Promise<readonly string[]> {
  for (const { index, address } of swarm.nodes) {
    const { certificate, key } = authority.issue([address]);
    const files = { 'ca.pem': authority.certificate, 'server.pem': certificate, 'server-key.pem': key };
    for (const [name, input] of Object.entries(files)) {
      await swarm.exec(index, ['tee', `/etc/docker/${name}`], { input });
    }
    await swarm.crashNode(index);
    await swarm.startNode(index);
  }
  await eventually(
    async () => {
      const { stdout } = await swarm.exec(1, ['docker', 'node', 'ls', '--format', '{{.Status}}']);
      if (
        stdout
          .trim()
          .split('\n')
          .some((status) => status !== 'Ready')
      ) {
        throw new Error(`the nodes are ${stdout}`);
      }
    },
    { timeoutMs: 60_000, everyMs: 250 },
  );
  return swarm.nodes.map(({ address }) => `tcp://${address}:2376`);
}
