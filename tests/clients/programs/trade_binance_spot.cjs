// @binance/spot trades, with a key of each kind.
"use strict";

const { Spot } = require("@binance/spot");
const { baseUrl, keys, tell } = require("./telling.cjs");

const symbol = "BTCUSDT";
const limit = { side: "BUY", type: "LIMIT", timeInForce: "GTC", quantity: 0.01, price: 0.5 };
const market = { side: "BUY", type: "MARKET", quantity: 0.01 };

function calls(kind) {
  const [apiKey, secret] = keys[kind];
  const signs = kind === "HMAC" ? { apiSecret: secret } : { privateKey: secret };
  const client = new Spot({ configurationRestAPI: { basePath: baseUrl, apiKey, ...signs } }).restAPI;
  const data = (name, parameters) => async () => (await client[name](parameters)).data();
  const named = { symbol, origClientOrderId: `${kind}-limit` };
  return {
    "limit": data("newOrder", { symbol, ...limit, newClientOrderId: `${kind}-limit` }),
    "query": data("getOrder", named),
    "open orders": data("getOpenOrders", { symbol }),
    "cancel": data("deleteOrder", named),
    "market": data("newOrder", { symbol, ...market, newClientOrderId: `${kind}-market` }),
    "test": data("orderTest", { symbol, ...limit }),
    "account": data("getAccount", {}),
    "my trades": data("myTrades", { symbol }),
    "all orders": data("allOrders", { symbol }),
    "order limits": data("rateLimitOrder", {}),
    "refused: no such order": data("deleteOrder", { symbol, orderId: 1 }),
    "refused: no money": data("newOrder", { symbol, ...limit, quantity: 9000000 }),
  };
}

(async () => {
  for (const kind of Object.keys(keys)) {
    await tell("@binance/spot", calls(kind), kind);
  }
})();
