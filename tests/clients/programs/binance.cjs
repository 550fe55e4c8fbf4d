// The package `binance` (on axios): its clients of spot, USD-M and COIN-M.
"use strict";

const { MainClient, USDMClient, CoinMClient } = require("binance");
const { START_MS, END_MS, UNKNOWN, baseUrl, tell } = require("./telling.cjs");

const options = { baseUrl, disableTimeSync: true };
const spot = new MainClient(options);
const usd = new USDMClient(options);
const coin = new CoinMClient(options);
const symbol = "BTCUSDT";
const pair = "BTCUSD_PERP";
const hour = { startTime: START_MS, endTime: END_MS };

// getServerTime is left out: whatever the base URL, it asks Binance.
tell("binance", {
  "ping": () => spot.testConnectivity(),
  "exchange info": () => spot.getExchangeInfo({ symbol }),
  "book": () => spot.getOrderBook({ symbol, limit: 20 }),
  "trades": () => spot.getRecentTrades({ symbol, limit: 20 }),
  "aggregate trades": () => spot.getAggregateTrades({ symbol, limit: 20, ...hour }),
  "klines": () => spot.getKlines({ symbol, interval: "1m", limit: 60, ...hour }),
  "average price": () => spot.getAvgPrice({ symbol }),
  "ticker": () => spot.get24hrChangeStatistics({ symbol }),
  "tickers": () => spot.get24hrChangeStatistics(),
  "prices": () => spot.getSymbolPriceTicker(),
  "book tickers": () => spot.getSymbolOrderBookTicker(),
  "usd exchange info": () => usd.getExchangeInfo(),
  "usd book": () => usd.getOrderBook({ symbol, limit: 20 }),
  "usd klines": () => usd.getKlines({ symbol, interval: "5m", limit: 12, ...hour }),
  "usd mark prices": () => usd.getMarkPrice(),
  "usd funding": () => usd.getFundingRateHistory({ symbol, limit: 5, ...hour }),
  "usd tickers": () => usd.get24hrChangeStatistics(),
  "usd open interest": () => usd.getOpenInterest({ symbol }),
  "usd interest history": () => usd.getOpenInterestStatistics({ symbol, period: "5m", ...hour }),
  "coin exchange info": () => coin.getExchangeInfo(),
  "coin book": () => coin.getOrderBook({ symbol: pair, limit: 20 }),
  "coin klines": () => coin.getKlines({ symbol: pair, interval: "5m", limit: 12, ...hour }),
  "coin tickers": () => coin.get24hrChangeStatistics(),
  [UNKNOWN]: () => spot.getOrderBook({ symbol: "NOSUCH" }),
});
