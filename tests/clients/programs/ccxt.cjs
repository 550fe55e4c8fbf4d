// ccxt in JavaScript, on fetch. It loads the markets of spot, USD-M and COIN-M, as it does by default.
"use strict";

const ccxt = require("ccxt");
const { START_MS, END_MS, UNKNOWN, baseUrl, tell } = require("./telling.cjs");

const client = new ccxt.binance({
  urls: {
    api: {
      public: `${baseUrl}/api/v3`,
      fapiPublic: `${baseUrl}/fapi/v1`,
      fapiPublicV2: `${baseUrl}/fapi/v2`,
      fapiData: `${baseUrl}/futures/data`,
      dapiPublic: `${baseUrl}/dapi/v1`,
      dapiData: `${baseUrl}/futures/data`,
      eapiPublic: `${baseUrl}/eapi/v1`,
    },
  },
});
const linear = "BTC/USDT:USDT";
const hour = { until: END_MS };

tell("ccxt", {
  "load_markets": () => client.loadMarkets(),
  "fetch_time": () => client.fetchTime(),
  "ticker spot": () => client.fetchTicker("BTC/USDT"),
  "tickers of all": () => client.fetchTickers(),
  "bids and asks": () => client.fetchBidsAsks(),
  "book": () => client.fetchOrderBook("BTC/USDT", 20),
  "candles": () => client.fetchOHLCV("BTC/USDT", "1m", START_MS, 60),
  "trades": () => client.fetchTrades("BTC/USDT", START_MS, 50, hour),
  "candles linear": () => client.fetchOHLCV(linear, "5m", START_MS, 99),
  "candles inverse": () => client.fetchOHLCV("BTC/USD:BTC", "5m", START_MS, 99),
  "book linear": () => client.fetchOrderBook(linear, 50),
  "tickers linear": () => client.fetchTickers([linear]),
  "funding rates": () => client.fetchFundingRates(),
  "funding history": () => client.fetchFundingRateHistory(linear, START_MS, 10),
  "open interest history": () => client.fetchOpenInterestHistory(linear, "5m", START_MS, 10, hour),
  [UNKNOWN]: () => client.publicGetTicker24hr({ symbol: "NOSUCH" }),
});
