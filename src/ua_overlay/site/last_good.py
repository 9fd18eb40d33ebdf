"""site.last_good.yaml: what the server last ran by, for the day when site.yaml makes no sense.

`server run` writes it: settings and rules once Headscale has shown that they work. A typo, or an editor that a power
cut ended, then costs nobody the site: the server starts by this file, everybody is told so, and commands that would
write site.yaml anew refuse as before, for they would write over somebody's edit.
"""
import os

from ua_overlay.errors import OverlayError
from ua_overlay.site.site import SITE_FILE, Site, dump_site, parse_site
from ua_overlay.system import files

LAST_GOOD_FILE = 'site.last_good.yaml'
_HEADER = ('## What the server last ran by, written by `ua-overlay server run`: used when site.yaml makes no sense.\n'
           '## Edit site.yaml instead.\n')


def save(site):
    """Write the settings and rules of ``site``, which are in force.

    :raises OSError: it cannot be written; the file of before is there then.
    """
    path, text = site.path(LAST_GOOD_FILE), _HEADER + dump_site(site.settings, site.rules)
    if _read(path) != text:
        files.write_secret(path, text)


def load(directory):
    """The site in ``directory`` as its server would run it now.

    :returns: (Site, None), or (Site of site.last_good.yaml, the OverlayError that says what is wrong with site.yaml).
    :raises OverlayError: site.yaml makes no sense or is not there, and the server never ran by another.
    """
    try:
        return Site.load(directory), None
    except OverlayError as error:
        problem = error
    path = os.path.join(directory, LAST_GOOD_FILE)
    text = _read(path)
    if not text:
        raise problem
    try:
        settings, rules = parse_site(text, path)
    except OverlayError:
        # Nothing that a person could mend there.
        raise problem
    site, source = Site(directory, settings, rules), os.path.join(directory, SITE_FILE)
    if not os.path.lexists(source):
        return site, OverlayError('{} is not there.'.format(source), 'cp -p {} {}'.format(path, source), 'SITE_FILE')
    return site, OverlayError(problem.sentence, 'edit {}, then {}'.format(source, site.command('policy apply')),
                              'SITE_FILE')


def sentence(problem):
    """What people are told: ``problem`` of :func:`load`, and what holds instead."""
    return '{} What the server last ran by ({}) holds instead.'.format(problem.sentence, LAST_GOOD_FILE)


def _read(path):
    """The text of a file, '' when there is none that can be read."""
    try:
        with open(path, encoding='utf-8') as stream:
            return stream.read()
    except (OSError, UnicodeDecodeError):
        return ''
