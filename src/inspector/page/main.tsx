import { render } from 'preact';

render(<p>ioasid</p>, document.body);
