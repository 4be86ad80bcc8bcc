#!/usr/bin/env bash
# Regenerate docs/capabilities.md in the checkout and build the documentation site in the work directory.

# shellcheck source-path=SCRIPTDIR
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
alone "$0" "$@"
SITE=$RUN/docs

ensure_programs git:git
ensure_test_venv
ensure_tree
PATH=$VENV/bin:$PATH
cd "$ROOT"
say "Regenerating docs/capabilities.md"
"$VENV/bin/python" -B docs/generate.py

say "Building the documentation site"
rm -rf "$SITE"
mkdir -p "$SITE/rst"
chmod 0755 "$SITE/rst"
quietly "$RUN/log/docs" antsibull-docs collection --use-current --squash-hierarchy --fail-on-error \
  --dest-dir "$SITE/rst" anyvirt.compute
# Settings on the command line (-C: no file) are all it takes. The warnings are of references to Ansible's own pages,
# which could be resolved only over the network.
quietly "$RUN/log/docs" sphinx-build -C -q -b html -D project=anyvirt.compute -D html_theme=alabaster \
  -D extensions=sphinx_antsibull_ext -D highlight_language=YAML+Jinja -D pygments_style=ansible -D default_role=any \
  -D suppress_warnings=ref.any,ref.envvar,ref.ref "$SITE/rst" "$SITE/html"
say "The site is $SITE/html/index.html"
