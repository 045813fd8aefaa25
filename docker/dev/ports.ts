/** Whether the ports that `up` wants are free, asked before anything is started. */
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { z } from 'zod';
import type { Docker } from './docker.ts';
import { StepFailure } from './report.ts';

/** Throws StepFailure when another program of this machine listens there. */
export async function checkPort(host: string, port: number, option: string): Promise<void> {
  const error = await new Promise<Error | undefined>((resolve) => {
    const server = net.createServer();
    server.once('error', resolve);
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
  if (error === undefined) return;
  const code = 'code' in error ? String(error.code) : '';
  throw new StepFailure(
    code === 'EADDRINUSE'
      ? `port ${port} is taken by another program`
      : `port ${port} cannot be used: ${error.message}`,
    `Choose another one (npm run up -- ${option} N), or end that program; this shows it: ss -ltnp 'sport = :${port}'`,
  );
}

const SERVICES = z.array(
  z.object({
    Spec: z.object({ Name: z.string() }),
    Endpoint: z.object({ Ports: z.array(z.object({ PublishedPort: z.number().optional() })).nullish() }).optional(),
  }),
);

/** Throws StepFailure when a service of the Swarm publishes one of the ports. */
export async function checkPublished(docker: Docker, ports: readonly number[]): Promise<void> {
  const ids = await docker.lines(['service', 'ls', '--quiet']);
  if (ids.length === 0) return;
  const services = SERVICES.parse(JSON.parse(await docker.run(['service', 'inspect', ...ids])));
  for (const { Spec, Endpoint } of services) {
    const taken = Endpoint?.Ports?.find(
      ({ PublishedPort }) => PublishedPort !== undefined && ports.includes(PublishedPort),
    );
    if (taken?.PublishedPort !== undefined) {
      throw new StepFailure(
        `port ${taken.PublishedPort} is published by the service ${Spec.Name}`,
        'Choose others: npm run up -- --port N --tls-port M',
      );
    }
  }
}

/** Whether an address is one of this machine's. */
export function isLocal(address: string): boolean {
  return Object.values(networkInterfaces()).some((list) => list?.some((own) => own.address === address));
}
