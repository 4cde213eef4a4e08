// A certified OpenID Connect provider, on loopback, with its own login form: whoever types a name is that person.
// Arguments: the client's redirect URI. Prints the issuer.
import http from 'node:http';
import { Provider } from 'oidc-provider';

const [redirect] = process.argv.slice(2);
const claims = (id) => ({
  sub: id,
  name: id.split('@')[0],
  email: id.replace(/^unverified-/, ''),
  email_verified: !id.startsWith('unverified-'),
});
const server = http.createServer();
server.listen(0, '127.0.0.1', () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: 'central', client_secret: 'a-secret-of-the-test', redirect_uris: [redirect] }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    findAccount: (_, id) => ({ accountId: id, claims: async () => claims(id) }),
    cookies: { keys: ['a-key-of-the-test'] },
    features: { devInteractions: { enabled: true } },
    pkce: { required: () => true },
  });
  server.on('request', provider.callback());
  console.log(issuer);
});
