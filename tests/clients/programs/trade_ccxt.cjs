// ccxt in JavaScript trades on spot, USD-M and COIN-M, with a key of each kind.
"use strict";

const ccxt = require("ccxt");
const { baseUrl, keys, tell } = require("./telling.cjs");

const SPOT = "BTC/USDT";

function made(kind) {
  const [apiKey, secret] = keys[kind];
  return new ccxt.binance({
    apiKey,
    secret,
    urls: {
      api: {
        public: `${baseUrl}/api/v3`,
        private: `${baseUrl}/api/v3`,
        sapi: `${baseUrl}/sapi/v1`,
        fapiPublic: `${baseUrl}/fapi/v1`,
        fapiPrivate: `${baseUrl}/fapi/v1`,
        fapiPrivateV2: `${baseUrl}/fapi/v2`,
        fapiPrivateV3: `${baseUrl}/fapi/v3`,
        dapiPublic: `${baseUrl}/dapi/v1`,
        dapiPrivate: `${baseUrl}/dapi/v1`,
      },
    },
  });
}

function market(client, kind, word, symbol, amount) {
  const named = { origClientOrderId: `${kind}-${word}-limit` };
  const id = (end) => ({ newClientOrderId: `${kind}-${word}-${end}` });
  return {
    [`limit ${word}`]: () => client.createOrder(symbol, "limit", "buy", amount, 0.5, id("limit")),
    [`query ${word}`]: () => client.fetchOrder(undefined, symbol, named),
    [`open orders ${word}`]: () => client.fetchOpenOrders(symbol),
    [`cancel ${word}`]: () => client.cancelOrder(undefined, symbol, named),
    [`market ${word}`]: () => client.createOrder(symbol, "market", "buy", amount, undefined, id("market")),
  };
}

function calls(client, kind) {
  const found = {
    "load_markets": () => client.loadMarkets(),
    ...market(client, kind, "spot", SPOT, 0.01),
    "test": () => client.createOrder(SPOT, "limit", "buy", 0.01, 0.5, { test: true, newClientOrderId: `${kind}-test` }),
    "balance": () => client.fetchBalance(),
    "my trades": () => client.fetchMyTrades(SPOT),
    "all orders": () => client.fetchOrders(SPOT),
    "refused: no such order": () => client.cancelOrder("1", SPOT),
    "refused: no money": () => client.createOrder(SPOT, "limit", "buy", 9000000, 0.5, { newClientOrderId: `${kind}-big` }),
  };
  if (kind !== "HMAC") {
    return found;
  }
  return {
    ...found,
    ...market(client, kind, "linear", "BTC/USDT:USDT", 1),
    ...market(client, kind, "inverse", "BTC/USD:BTC", 1),
    "balance linear": () => client.fetchBalance({ type: "linear" }),
    "leverage": () => client.setLeverage(5, "BTC/USDT:USDT"),
  };
}

(async () => {
  for (const kind of Object.keys(keys)) {
    await tell("ccxt", calls(made(kind), kind), kind);
  }
})();
