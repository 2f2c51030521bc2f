#!/bin/sh
# Runs the compiled tests of a suite, each file in a process: test.sh [-l] [programs | examples | hostile].
# Without a name: all that are in none of these three. -l only lists what the runner is given.
set -eu
cd "$(dirname "$0")/.."

list=
if [ "${1-}" = -l ]; then list=yes; shift; fi
case ${1-} in
	'')
		files=$(find dist -name '*.test.js' ! -name real.test.js | sort)
		files=$(printf '%s\n' $files | grep -vE '/(programs|examples|hostile)/')
		files=$(node dist/testkit/test-processes.js $files)
		# Nothing here asks the network. Each of a thousand starts of Node would read these.
		export NODE_EXTRA_CA_CERTS=
		;;
	programs) files="$(find dist/cli/programs -name '*.test.js' | sort) dist/conformance/real.test.js" ;;
	examples | hostile) files=$(find "dist/cli/$1" -name '*.test.js' | sort) ;;
	*)
		echo "test.sh: there is no suite $1" >&2
		exit 2
		;;
esac
if [ -n "$list" ]; then
	printf '%s\n' $files
	exit
fi

export IOASID_CHECKS=1
exec node --import ./dist/testkit/full-sizes.js dist/testkit/run-tests.js $files
