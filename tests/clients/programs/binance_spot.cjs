// @binance/spot: the official SDK of spot for JavaScript.
"use strict";

const { Spot } = require("@binance/spot");
const { START_MS, END_MS, UNKNOWN, baseUrl, tell } = require("./telling.cjs");

const client = new Spot({ configurationRestAPI: { basePath: baseUrl, apiKey: "" } }).restAPI;
const symbol = "BTCUSDT";
const symbols = [symbol, "ETHUSDT"];
const hour = { startTime: START_MS, endTime: END_MS };
const data = (name, parameters) => async () => (await client[name](parameters)).data();

tell("@binance/spot", {
  "ping": data("ping"),
  "time": data("time"),
  "exchange info": data("exchangeInfo", { symbols }),
  "execution rules": data("executionRules", { symbol }),
  "book": data("depth", { symbol, limit: 20 }),
  "trades": data("getTrades", { symbol, limit: 20 }),
  "aggregate trades": data("aggTrades", { symbol, limit: 20, ...hour }),
  "klines": data("klines", { symbol, interval: "1m", limit: 60, ...hour }),
  "average price": data("avgPrice", { symbol }),
  "ticker": data("ticker24hr", { symbol }),
  "tickers": data("ticker24hr"),
  "day": data("tickerTradingDay", { symbols }),
  "prices": data("tickerPrice"),
  "book tickers": data("tickerBookTicker", { symbols }),
  "rolling": data("ticker", { symbol }),
  [UNKNOWN]: data("depth", { symbol: "NOSUCH" }),
});
