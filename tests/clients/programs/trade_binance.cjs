// The package `binance` (on axios) trades on spot, USD-M and COIN-M, with a key of each kind.
"use strict";

const { MainClient, USDMClient, CoinMClient } = require("binance");
const { baseUrl, keys, tell } = require("./telling.cjs");

const symbol = "BTCUSDT";
const pair = "BTCUSD_PERP";
const bought = { side: "BUY", quantity: 0.01 };
const limit = { ...bought, type: "LIMIT", timeInForce: "GTC", price: 0.5 };

function calls(kind) {
  const [api_key, api_secret] = keys[kind];
  const options = { api_key, api_secret, baseUrl, disableTimeSync: true };
  const spot = new MainClient(options);
  const usd = new USDMClient(options);
  const coin = new CoinMClient(options);
  const id = `x-15PC4ZJy-${kind}`;
  const usdId = `x-ABC-${kind}`;
  const named = { symbol, origClientOrderId: `${id}-limit` };
  return {
    "limit": () => spot.submitNewOrder({ symbol, ...limit, newClientOrderId: `${id}-limit` }),
    "query": () => spot.getOrder(named),
    "open orders": () => spot.getOpenOrders({ symbol }),
    "cancel": () => spot.cancelOrder(named),
    "market": () => spot.submitNewOrder({ symbol, ...bought, type: "MARKET", newClientOrderId: `${id}-market` }),
    "test": () => spot.testNewOrder({ symbol, ...limit, newClientOrderId: `${id}-test` }),
    "account": () => spot.getAccountInformation(),
    "my trades": () => spot.getAccountTradeList({ symbol }),
    "all orders": () => spot.getAllOrders({ symbol }),
    "balances": () => spot.getBalances(),
    "usd limit": () => usd.submitNewOrder({ symbol, ...limit, newClientOrderId: usdId }),
    "usd query": () => usd.getOrder({ symbol, origClientOrderId: usdId }),
    "usd open orders": () => usd.getAllOpenOrders({ symbol }),
    "usd cancel": () => usd.cancelOrder({ symbol, origClientOrderId: usdId }),
    "usd account": () => usd.getAccountInformation(),
    "usd balance": () => usd.getBalance(),
    "coin limit": () => coin.submitNewOrder({ symbol: pair, ...limit, quantity: 1, newClientOrderId: usdId }),
    "coin cancel": () => coin.cancelOrder({ symbol: pair, origClientOrderId: usdId }),
    "coin account": () => coin.getAccountInformation(),
    "refused: no such order": () => spot.cancelOrder({ symbol, orderId: 1 }),
    "refused: no money": () => spot.submitNewOrder({ symbol, ...limit, quantity: 9000000, newClientOrderId: `${id}-big` }),
  };
}

(async () => {
  for (const kind of Object.keys(keys)) {
    await tell("binance", calls(kind), kind);
  }
})();
