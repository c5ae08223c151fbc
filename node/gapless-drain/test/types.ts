import { createServer } from 'node:http';
import { Drain, Draining, type Counts } from 'gapless-drain';

const drain = new Drain({ status: 503, healthPath: '/health', onSignal: null });
const server = drain.attach(createServer(drain.listener((_, response) => response.end())));
server.listen(0);
const seven: number = drain.procedure('count', () => 7);
const later: Promise<string> = drain.procedure('later', async () => 'x');
const counts: Counts = drain.counts();
const error: Error = new Draining();
export { counts, error, later, seven };
// @ts-expect-error there is no such option
new Drain({ statsu: 503 });
