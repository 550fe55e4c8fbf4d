// binance-api-node trades on spot, USD-M and COIN-M, with a key of each kind.
"use strict";

const Binance = require("binance-api-node").default;
const { baseUrl, keys, tell } = require("./telling.cjs");

const symbol = "BTCUSDT";
const pair = "BTCUSD_PERP";
const bought = { side: "BUY", quantity: "0.01" };
const limit = { ...bought, type: "LIMIT", timeInForce: "GTC", price: "0.5" };

function calls(kind) {
  const [apiKey, secret] = keys[kind];
  const signs = kind === "HMAC" ? { apiSecret: secret } : { privateKey: secret };
  const client = Binance({ apiKey, ...signs, httpBase: baseUrl, httpFutures: baseUrl, httpDelivery: baseUrl });
  const named = { symbol, origClientOrderId: `${kind}-limit` };
  const own = { newClientOrderId: `${kind}-limit` };
  return {
    "limit": () => client.order({ symbol, ...limit, ...own }),
    "query": () => client.getOrder(named),
    "open orders": () => client.openOrders({ symbol }),
    "cancel": () => client.cancelOrder(named),
    "market": () => client.order({ symbol, ...bought, type: "MARKET", newClientOrderId: `${kind}-market` }),
    "test": () => client.orderTest({ symbol, ...limit, newClientOrderId: `${kind}-test` }),
    "account": () => client.accountInfo(),
    "my trades": () => client.myTrades({ symbol }),
    "all orders": () => client.allOrders({ symbol }),
    "usd limit": () => client.futuresOrder({ symbol, ...limit, ...own }),
    "usd query": () => client.futuresGetOrder(named),
    "usd open orders": () => client.futuresOpenOrders({ symbol }),
    "usd cancel": () => client.futuresCancelOrder(named),
    "usd account": () => client.futuresAccountInfo(),
    "coin limit": () => client.deliveryOrder({ symbol: pair, ...limit, quantity: "1", ...own }),
    "coin cancel": () => client.deliveryCancelOrder({ ...named, symbol: pair }),
    "coin account": () => client.deliveryAccountInfo(),
    "refused: no such order": () => client.cancelOrder({ symbol, orderId: 1 }),
    "refused: no money": () => client.order({ symbol, ...limit, quantity: "9000000", newClientOrderId: `${kind}-big` }),
  };
}

(async () => {
  for (const kind of Object.keys(keys)) {
    await tell("binance-api-node", calls(kind), kind);
  }
})();
