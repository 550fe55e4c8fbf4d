# Starts Valkey with the password of a file: sh serve.sh FILE OPTION...
# Valkey reads the hash of the password from its standard input, so that neither stands in a list of processes, in an
# environment or in a file of its own, and any character may be in it.
set -eu
password=$(cat "$1")
shift
if [ -z "$password" ]; then
    echo "the password file is empty" >&2
    exit 1
fi
hash=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
exec valkey-server "$@" - <<end
user default on ~* &* +@all #$hash
end
