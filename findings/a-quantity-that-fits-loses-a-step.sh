#!/usr/bin/env bash
# Helpers that round an order's quantity to LOT_SIZE take a step off what fits, add one, or know only steps of 0.1, 0.01 ...
#
# Expected: what is a multiple of stepSize stays as it is, and anything else is rounded down, so that nobody sells more than
#           he has. Any step that exchangeInfo may name works.
# Happens:  roundStep() of node-binance-api writes the number with 16 digits and cuts: 4.35 is 4.3499999999999996 there and
#           becomes 4.34. This hits 47 of 100 quantities with two decimals: what is left can often not be sold, as it is
#           below minNotional. The balance shows dust and no error. For a step of 10, 17.5 becomes 17 and 7
#           stays 7 (-1013), in backtrader-binance too. That one and trio-binance round to the nearest: 0.129 becomes 0.13, more
#           than there is (-2010). round_step_size() of python-binance and the amounts of ccxt are right.
#           A gateway sees correct requests of which Binance refuses many, and each counts.
# Seen with: node-binance-api 1.0.33, ccxt 4.5.84 (npm) on Node 20; python-binance 1.0.37, trio-binance 0.5.3,
#           backtrader-binance 2.0.5 (backtrader 1.9.78.123) on CPython 3.11.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip install -q --disable-pip-version-check --no-compile --target "$work/lib" backtrader-binance==2.0.5 \
    backtrader==1.9.78.123 python-binance==1.0.37 trio-binance==0.5.3
npm install --silent --no-audit --no-fund --prefix "$work" node-binance-api@1.0.33 ccxt@4.5.84
cat > "$work/round.cjs" <<'JS'
const Client = require("node-binance-api"), { binance } = require("ccxt")
const client = new Client(), exchange = new binance(), all = [...Array(9999).keys()].map(i => (i + 1) / 100)
const byCcxt = (quantity, step) => {
  exchange.markets = { "BTC/USDT": { symbol: "BTC/USDT", precision: { amount: Number(step) } } }
  exchange.markets_by_id = {}
  try { return Number(exchange.amountToPrecision("BTC/USDT", quantity)) } catch { return null }
}
const helpers = { "node-binance-api": (quantity, step) => client.roundStep(quantity, step), ccxt: byCcxt }
const cases = JSON.parse(process.argv[2])
for (const [name, helper] of Object.entries(helpers)) console.log(JSON.stringify([name,
  cases.map(([quantity, step]) => helper(quantity, step)), all.filter(one => helper(one, "0.01000000") !== one).length]))
JS
cat > "$work/round.py" <<'PY'
import json, sys
from binance.helpers import round_step_size
from trio_binance.helpers import round_step_size as round_by_trio
from backtrader_binance.binance_store import BinanceStore

helpers = {"python-binance": round_step_size,
           "trio-binance": lambda quantity, step: round_by_trio(quantity, float(step)),
           "backtrader-binance": lambda quantity, step: float(BinanceStore._format_value(None, quantity, step))}
cases, every = json.loads(sys.argv[1]), [i / 100 for i in range(1, 10_000)]
for name, helper in helpers.items():
    print(json.dumps([name, [helper(*one) for one in cases], sum(helper(one, "0.01000000") != one for one in every)]))
PY
cd "$work"
timeout 50 python3 - <<'PY'
import json, os, signal, subprocess, sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
CASES = [(4.35, "0.01000000"), (0.129, "0.01000000"), (17.5, "10.00000000"), (7, "10.00000000")]
EXPECTED = {"node-binance-api": ([4.34, 0.12, 17, 7], 4702), "ccxt": ([4.35, 0.12, 10, None], 0),
            "python-binance": ([4.35, 0.12, 10, 0], 0), "trio-binance": ([4.35, 0.13, 20, 10], 0),
            "backtrader-binance": ([4.35, 0.13, 17, 7], 0)}
text, seen = json.dumps(CASES), {}
for command in (["node", "round.cjs", text], [sys.executable, "-W", "ignore", "round.py", text]):
    run = subprocess.run(command, capture_output=True, timeout=40, text=True, env=dict(os.environ, PYTHONPATH="lib"))
    for name, results, wrong in map(json.loads, run.stdout.splitlines()):
        seen[name] = results, wrong
changed = 0
print(f"{'':18}", *(f"{quantity} by {float(step)}" for quantity, step in CASES), "changed of 0.01 ... 99.99", sep="  ")
for name, expected in EXPECTED.items():
    results, wrong = seen.get(name, ([], "nothing"))
    good = (results, wrong) == expected
    changed += not good
    print(f"{name:18}", *results, wrong, "" if good else "CHANGED", sep="  ")
sys.exit(changed > 0)
PY
