import { testMachineCodes } from '../testkit/assembler.js';
import { handlerCode } from './signal-state.js';

testMachineCodes({ x64: handlerCode });
