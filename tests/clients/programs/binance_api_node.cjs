// binance-api-node: spot, USD-M and COIN-M behind one object.
"use strict";

const Binance = require("binance-api-node").default;
const { START_MS, END_MS, UNKNOWN, baseUrl, tell } = require("./telling.cjs");

const client = Binance({ httpBase: baseUrl, httpFutures: baseUrl, httpDelivery: baseUrl });
const symbol = "BTCUSDT";
const pair = "BTCUSD_PERP";
const hour = { startTime: START_MS, endTime: END_MS };

tell("binance-api-node", {
  "ping": () => client.ping(),
  "time": () => client.time(),
  "exchange info": () => client.exchangeInfo({ symbol }),
  "book": () => client.book({ symbol, limit: 20 }),
  "aggregate trades": () => client.aggTrades({ symbol, limit: 20, ...hour }),
  "trades": () => client.trades({ symbol, limit: 20 }),
  "candles": () => client.candles({ symbol, interval: "1m", limit: 60, ...hour }),
  "average price": () => client.avgPrice({ symbol }),
  "ticker": () => client.dailyStats({ symbol }),
  "tickers": () => client.dailyStats(),
  "prices": () => client.prices(),
  "book tickers": () => client.allBookTickers(),
  "usd time": () => client.futuresTime(),
  "usd exchange info": () => client.futuresExchangeInfo(),
  "usd book": () => client.futuresBook({ symbol, limit: 20 }),
  "usd candles": () => client.futuresCandles({ symbol, interval: "5m", limit: 12, ...hour }),
  "usd mark prices": () => client.futuresMarkPrice(),
  "usd funding": () => client.futuresFundingRate({ symbol, limit: 5, ...hour }),
  "usd tickers": () => client.futuresDailyStats(),
  "coin exchange info": () => client.deliveryExchangeInfo(),
  "coin book": () => client.deliveryBook({ symbol: pair, limit: 20 }),
  "coin candles": () => client.deliveryCandles({ symbol: pair, interval: "5m", limit: 12, ...hour }),
  [UNKNOWN]: () => client.book({ symbol: "NOSUCH" }),
});
