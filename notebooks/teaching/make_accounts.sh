#!/usr/bin/env bash
# Make an account for each name in a file, one name a line, and print the passwords to hand out:
#
#     sudo notebooks/teaching/make_accounts.sh class.txt > passwords.txt
#
# Each home has the notebooks and exercises, and nobody else can look into it. What has the solutions in this project is
# closed to everybody but its owner: the students' gptcore is a link into the project.
# Names that have an account already keep it, with their password and their work.
set -euo pipefail

if [[ $# -ne 1 || ! -r $1 ]]; then
    echo "usage: sudo $0 class.txt (a file with one name a line)" >&2
    exit 2
fi
project=$(cd "$(dirname "$0")/../.." && pwd)
for closed in notebooks/solutions tests .git; do
    [[ ! -e $project/$closed ]] || chmod go= "$project/$closed"
done
[[ ! -f /dev/stdout ]] || chmod go= /dev/stdout # the passwords

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
mkdir -p "$home/gpt/notebooks"
cp -r "$project"/notebooks/*.ipynb "$project"/notebooks/{glossary.md,exercises} "$home/gpt/notebooks/"
ln -s "$project/gptcore" "$home/gpt/gptcore" # the notebooks link to its source

getent group students >/dev/null || groupadd students
while read -r name; do
    [[ -z $name ]] && continue
    if id "$name" >/dev/null 2>&1; then
        echo "$name has an account already, which is left as it is" >&2
        continue
    fi
    useradd --create-home --skel "$home" --key HOME_MODE=0700 --groups students --shell /bin/bash "$name"
    password=$(od -An -N6 -tx1 /dev/urandom | tr -d ' ')
    echo "$name:$password" | chpasswd
    echo "$name $password"
done <"$1"
